export { DistriError, exitStatus } from './runtime/errors.js';

import { DistriError } from '../runtime/errors.js';

export interface HubOptions {
  readonly revision?: string | undefined;
  readonly offline?: boolean | undefined;
}

export function isHubId(name: string): boolean {
  return /^[\w.-]+\/[\w.-]+$/.test(name);
}

export async function resolveHubId(id: string, _options: HubOptions): Promise<string> {
  throw new DistriError('checkpoint', `${id}: no such folder`);
}

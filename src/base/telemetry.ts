/**
 * Keeps ONNX Runtime from noting what it does: its telemetry writes a device's id and a database to the home
 * folder, or to the working directory where that can't be written. Before the library is loaded; whoever has
 * set the variable has decided.
 */
export function disableTelemetry(): void {
  process.env.ORT_DISABLE_TELEMETRY ??= '1';
}

const actions = new Set<() => void>();
let listening = false;

/**
 * Has `action` called when the process ends, whether it is done or an error ends it; not when a signal kills
 * it. What is returned takes that back. All share one listener: Node warns of many.
 */
export function atExit(action: () => void): () => void {
  if (!listening) {
    process.on('exit', () => {
      for (const each of actions) each();
    });
    listening = true;
  }
  actions.add(action);
  return () => actions.delete(action);
}

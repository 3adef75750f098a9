/**
 * Calls `load` on all items, at most `ahead` of them at a time and in advance, and yields what came of each
 * in order: bounded memory whatever the number of items. A failure is yielded as the Error.
 */
export async function* loadAhead<Item, Loaded>(
  items: readonly Item[],
  ahead: number,
  load: (item: Item) => Promise<Loaded>,
): AsyncGenerator<{ readonly item: Item; readonly loaded: Loaded | Error }> {
  const attempt = async (item: Item) => {
    try {
      return { item, loaded: await load(item) };
    } catch (error) {
      if (error instanceof Error) return { item, loaded: error };
      throw error;
    }
  };
  const pending = items.slice(0, ahead).map(attempt);
  for (let next = pending.length; pending.length > 0; next++) {
    const outcome = await (pending.shift() as ReturnType<typeof attempt>);
    const following = items[next];
    if (following !== undefined) pending.push(attempt(following));
    yield outcome;
  }
}

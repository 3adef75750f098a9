/** A loaded part of a pipeline. */
export interface Part {
  release(): void;
}

/**
 * Loaded parts, one of each kind. A part stays until one with another key is needed in its place, so that a
 * request which differs in one respect loads no more than that.
 */
export class PartCache {
  readonly #parts = new Map<string, { readonly key: string; readonly part: Part }>();

  /** The part of this kind and key (compared as JSON); `load` makes it where it is not there. */
  async get<T extends Part>(kind: string, key: unknown, load: () => Promise<T>): Promise<T> {
    const text = JSON.stringify(key);
    const known = this.#parts.get(kind);
    if (known?.key === text) return known.part as T;
    this.drop(kind);
    const part = await load();
    this.#parts.set(kind, { key: text, part });
    return part;
  }

  /** Releases the part of this kind, if there is one. */
  drop(kind: string): void {
    this.#parts.get(kind)?.part.release();
    this.#parts.delete(kind);
  }

  /** Releases all parts. */
  release(): void {
    for (const kind of [...this.#parts.keys()]) this.drop(kind);
  }
}

/** What was loaded so far while something larger is: released together where the rest fails. */
export class Unfinished {
  readonly #parts: Part[] = [];

  /** Loads one more part. */
  async add<T extends Part>(part: Promise<T>): Promise<T> {
    const loaded = await part;
    this.#parts.push(loaded);
    return loaded;
  }

  /** Runs `work`; what it added stays loaded only where it succeeds. */
  static async run<T>(work: (unfinished: Unfinished) => Promise<T>): Promise<T> {
    const unfinished = new Unfinished();
    try {
      return await work(unfinished);
    } catch (error) {
      for (const part of unfinished.#parts.reverse()) part.release();
      throw error;
    }
  }
}

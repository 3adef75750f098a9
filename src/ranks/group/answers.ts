import type { DistriError } from '../../base/errors.js';

/** How long ranks may take to refuse a job after the first of them did. */
const AGREEMENT_MS = 2000;

type Answer<T> = { readonly value: T } | { readonly refusal: DistriError };

/** The answers of all ranks to one order: a value or a refusal each. */
export class Answers<T> {
  /** In rank order; rejects with the refusal when all ranks refuse. */
  readonly all: Promise<readonly T[]>;
  private readonly received = new Map<number, Answer<T>>();
  private deadline: NodeJS.Timeout | undefined;
  private resolve: (answers: readonly T[]) => void = () => {};
  private reject: (error: Error) => void = () => {};

  /**
   * `disagreed` is called when some ranks refuse and others do not, or do not in time; `all` waits for `fail`
   * then.
   */
  constructor(
    private readonly count: number,
    private readonly disagreed: (refusal: DistriError) => void,
  ) {
    this.all = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // A failure before anybody waits is not lost: `run` throws it.
    this.all.catch(() => {});
  }

  give(rank: number, value: T): void {
    this.receive(rank, { value });
  }

  refuse(rank: number, refusal: DistriError): void {
    this.deadline ??= setTimeout(() => this.disagreed(refusal), AGREEMENT_MS);
    this.receive(rank, { refusal });
  }

  fail(error: Error): void {
    clearTimeout(this.deadline);
    this.reject(error);
  }

  private receive(rank: number, answer: Answer<T>): void {
    this.received.set(rank, answer);
    if (this.received.size < this.count) return;
    const ranks = Array.from({ length: this.count }, (_, index) => this.received.get(index) as Answer<T>);
    const refusals = ranks.flatMap((one) => ('refusal' in one ? [one.refusal] : []));
    const [refusal] = refusals;
    if (refusal === undefined) this.resolve(ranks.flatMap((one) => ('value' in one ? [one.value] : [])));
    else if (refusals.length === this.count) this.fail(refusal);
    else this.disagreed(refusal);
  }
}

import { readSync } from 'node:fs';

const WINDOW_BYTES = 64 * 1024;

/**
 * Reads a stretch of an open file from front to back through one window, so that a small file or a lying
 * length never makes a large buffer. Reading is synchronous: what is read this way are descriptions of
 * tensors, a few kilobytes.
 */
export class ByteReader {
  private readonly window: Buffer;
  private windowStart: number;
  private windowEnd: number;

  constructor(
    private readonly fd: number,
    public position: number,
    private readonly end: number,
  ) {
    this.window = Buffer.allocUnsafe(Math.max(0, Math.min(WINDOW_BYTES, end - position)));
    this.windowStart = position;
    this.windowEnd = position;
  }

  /** The next `count` bytes, which are valid until the next call; fewer being there is an error. */
  take(count: number): Buffer {
    const { position } = this;
    if (count > this.end - position) {
      throw new Error(`ends at byte ${this.end}, ${position + count - this.end} bytes too early`);
    }
    this.position += count;
    if (count > this.window.length) {
      const bytes = Buffer.allocUnsafe(count);
      this.fill(bytes, position);
      return bytes;
    }
    if (position < this.windowStart || position + count > this.windowEnd) {
      const wanted = Math.min(this.window.length, this.end - position);
      this.fill(this.window.subarray(0, wanted), position);
      this.windowStart = position;
      this.windowEnd = position + wanted;
    }
    const first = position - this.windowStart;
    return this.window.subarray(first, first + count);
  }

  /** Goes on `count` bytes further. */
  skip(count: number): void {
    if (count > this.end - this.position)
      throw new Error(`ends at byte ${this.end}, in the middle of its data`);
    this.position += count;
  }

  byte(): number {
    return this.take(1)[0] as number;
  }

  /** The bytes up to the next line feed, which is read but not returned. */
  line(longest: number): string {
    let text = '';
    for (let byte = this.byte(); byte !== 0x0a; byte = this.byte()) {
      if (text.length === longest) throw new Error(`has a line of more than ${longest} bytes`);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  private fill(target: Buffer, position: number): void {
    for (let done = 0; done < target.length; ) {
      const count = readSync(this.fd, target, done, target.length - done, position + done);
      if (count === 0) throw new Error(`ends at byte ${position + done}`);
      done += count;
    }
  }
}

import type { Socket } from 'node:net';
import { deserialize, serialize } from 'node:v8';

const LENGTH_BYTES = 4;
/** Orders and reports are small; a longer one is not ours. */
const MAX_MESSAGE_BYTES = 64 << 20;

/** Messages over a local socket, each with its length before it; any value that Node's IPC channel of children could carry. */
export class MessageSocket<Received, Sent> {
  private pending: Buffer = Buffer.alloc(0);
  private listener: (message: Received) => void = () => {};

  constructor(private readonly socket: Socket) {
    socket.on('data', (data) => this.take(data));
    // `close` follows, which says all there is to say.
    socket.on('error', () => {});
  }

  /** Called for every message from now on; one listener at a time. */
  onMessage(listener: (message: Received) => void): void {
    this.listener = listener;
  }

  /** Called once, when the other side is gone or `close` was called. */
  onClose(listener: () => void): void {
    this.socket.once('close', listener);
  }

  get open(): boolean {
    return !this.socket.destroyed;
  }

  send(message: Sent): void {
    if (!this.socket.writable) return;
    const body = serialize(message);
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(body.length);
    this.socket.write(Buffer.concat([length, body]));
  }

  /** Closes after what was sent has gone. */
  close(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  private take(data: Buffer): void {
    this.pending = Buffer.concat([this.pending, data]);
    while (this.pending.length >= LENGTH_BYTES && this.open) {
      const end = LENGTH_BYTES + this.pending.readUInt32LE();
      if (end > MAX_MESSAGE_BYTES) this.destroy();
      if (this.pending.length < end) return;
      const body = this.pending.subarray(LENGTH_BYTES, end);
      this.pending = this.pending.subarray(end);
      this.listener(deserialize(body) as Received);
    }
  }
}

/** Ranks beat every quarter of a second; this much silence means that a rank's event loop stands still. */
export const STALLED_MS = 1000;
const WATCH_INTERVAL_MS = 250;

/**
 * Calls `look` regularly, but not while silence says nothing: when this process did not run itself (Ctrl-Z),
 * neither did the others, and they get time to beat again.
 */
export class SilenceWatch {
  private readonly timer: NodeJS.Timeout;
  private lastLook = performance.now();
  private trustSilenceFrom = 0;

  constructor(look: () => void) {
    this.timer = setInterval(() => {
      const now = performance.now();
      if (now - this.lastLook > STALLED_MS) this.trustSilenceFrom = now + STALLED_MS;
      this.lastLook = now;
      if (now >= this.trustSilenceFrom) look();
    }, WATCH_INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

import type { Mail } from "./next-event.js";

/** What has come into the inbox of a run, as far as its driver knows. */
export class Mailbox {
  /** Unread mail in order; items are removed as they are taken. */
  readonly unread: Mail[] = [];
  /** The highest position that was read. */
  seen = 0;
  /** The highest position that is known to be there. */
  count = 0;

  isReading = false;

  /** Is there more than was read? */
  get isBehind(): boolean {
    return this.count > this.seen;
  }

  /** The mail that a run begins with: its input, in no place of the inbox, and messages. */
  begin(mail: readonly Mail[]): void {
    this.unread.push(...mail);
    this.seen = mail.length - 1;
    this.count = this.seen;
  }

  /** Adds mail that was read from the inbox when it held `count` items. */
  add(mail: readonly Mail[], count: number): void {
    for (const item of mail) {
      if (item.record.position <= this.seen) continue;
      this.unread.push(item);
      this.seen = item.record.position;
    }
    this.seen = Math.max(this.seen, count);
    this.notice(count);
  }

  /** The store says that there are this many items. */
  notice(count: number): void {
    this.count = Math.max(this.count, count);
  }

  /** Reads what has come, once at a time. False: nothing new to look at, because it is being read already, or the worker closes. */
  async fetch(read: (above: number) => Promise<readonly Mail[] | undefined>): Promise<boolean> {
    if (this.isReading) return false;
    this.isReading = true;
    const above = this.seen;
    try {
      const mail = await read(above);
      if (mail !== undefined) this.add(mail, above);
      return mail !== undefined;
    } finally {
      this.isReading = false;
    }
  }
}

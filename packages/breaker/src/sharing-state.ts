/** Whether a store is within reach, and who wants to know. */
export class SharingState {
  #sharing: boolean;
  readonly #listeners = new Set<(sharing: boolean) => void>();

  constructor(sharing = false) {
    this.#sharing = sharing;
  }

  get sharing(): boolean {
    return this.#sharing;
  }

  set(sharing: boolean): void {
    if (sharing === this.#sharing) return;
    this.#sharing = sharing;
    this.announce();
  }

  /** Says it again: what was heard before may be out of date. */
  announce(): void {
    for (const listener of this.#listeners) listener(this.#sharing);
  }

  listen(listener: (sharing: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

/** As much of a terminal as progress bars need: lines, carriage returns, the cursor and erasing. */
export class Screen {
  readonly #rows: string[][] = [[]];
  readonly #columns: number;
  #row = 0;
  #column = 0;
  #saved: readonly [row: number, column: number] = [0, 0];

  constructor(columns: number) {
    this.#columns = columns;
  }

  /** What can be read, without spaces at the ends. */
  get lines(): readonly string[] {
    return this.#rows.map((cells) =>
      Array.from(cells, (cell) => cell ?? ' ')
        .join('')
        .trimEnd(),
    );
  }

  write(text: string): this {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what terminals are told with
    const parts = text.matchAll(/\u001b\[([?\d;]*)([A-Za-z])|\u001b([78])|([\s\S])/gu);
    for (const [, numbers, command, keep, character] of parts) {
      if (command !== undefined) this.#control(command, Number.parseInt(numbers || '0', 10) || 0);
      else if (keep === '7') this.#saved = [this.#row, this.#column];
      else if (keep === '8') [this.#row, this.#column] = this.#saved;
      else if (character !== undefined) this.#put(character);
    }
    return this;
  }

  #put(character: string): void {
    if (character === '\r') this.#column = 0;
    else if (character === '\n') this.#move(this.#row + 1, this.#column);
    else {
      if (this.#column === this.#columns) this.#move(this.#row + 1, 0);
      (this.#rows[this.#row] as string[])[this.#column++] = character;
    }
  }

  #control(command: string, number: number): void {
    const cells = this.#rows[this.#row] as string[];
    if (command === 'G') this.#column = Math.max(0, number - 1);
    else if (command === 'A') this.#move(Math.max(0, this.#row - Math.max(1, number)), this.#column);
    else if (command === 'K') cells.splice(number === 0 ? this.#column : 0);
    else if (command === 'J') {
      cells.splice(this.#column);
      this.#rows.splice(this.#row + 1);
    }
  }

  #move(row: number, column: number): void {
    this.#row = row;
    this.#column = column;
    while (this.#rows.length <= row) this.#rows.push([]);
  }
}

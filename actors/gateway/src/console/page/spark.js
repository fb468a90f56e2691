// How did a number go in the last minute? As a small line.

import { draw } from './make.js';

const POINTS = 60;
const [WIDTH, HEIGHT] = [60, 18];

export class Spark {
  constructor() {
    this.numbers = [];
    this.isFlat = true;
    this.line = draw('path', { class: 'line' });
    this.area = draw('path', { class: 'area' });
    this.element = draw('svg', { class: 'spark flat', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, this.area, this.line);
  }

  /** One more number: one a second. */
  push(number) {
    this.numbers = [...this.numbers, number].slice(-POINTS);
    const most = Math.max(...this.numbers, 1e-9);
    const first = POINTS - this.numbers.length;
    const points = this.numbers.map((number, index) => {
      const x = ((first + index) / (POINTS - 1)) * WIDTH;
      return `${x.toFixed(1)} ${(HEIGHT - 1.5 - (number / most) * (HEIGHT - 3)).toFixed(1)}`;
    });
    this.isFlat = this.numbers.every((number) => number === 0);
    this.element.classList.toggle('flat', this.isFlat);
    this.line.setAttribute('d', `M${points.join('L')}`);
    const left = ((first / (POINTS - 1)) * WIDTH).toFixed(1);
    this.area.setAttribute('d', `M${left} ${HEIGHT}L${points.join('L')}L${WIDTH} ${HEIGHT}Z`);
  }
}

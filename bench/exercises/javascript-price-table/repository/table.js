import { cell } from './column.js';

// Rows of texts in columns of a fixed width, with one space between them.
export function table(rows, columns) {
  return rows.map((row) => row.map((text, index) => cell(text, columns[index])).join(' ')).join('\n');
}

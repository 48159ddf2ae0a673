// Texts as people see them: an accent that is a mark of its own stands on the letter before it and takes no place.

const MARK = /\p{Mark}/u;

// The letters of a text, each with the marks that belong to it.
export function letters(text) {
  const found = [];
  for (const character of text) {
    if (MARK.test(character) && found.length > 0) {
      found.push(found.pop() + character);
    } else {
      found.push(character);
    }
  }
  return found;
}

// How many places a text takes.
export function width(text) {
  return letters(text).length;
}

// A text in at most so many places. One that is cut ends with `…`, which takes a place too.
export function cut(text, places) {
  const all = letters(text);
  if (all.length <= places) return text;
  return all.slice(0, places - 1).join('') + '…';
}

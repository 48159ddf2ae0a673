// A playlist: songs with their length in seconds.

export class Playlist {
  constructor(name) {
    this.name = name;
    this.songs = [];
  }

  add(title, seconds) {
    if (!Number.isInteger(seconds) || seconds < 1) {
      throw new RangeError(`${title}: ${seconds} is no length in seconds`);
    }
    this.songs.push({ title, seconds });
    return this;
  }

  length() {
    return this.songs.reduce((sum, song) => sum + song.seconds, 0);
  }

  // One song a line, and the length of all of them at the end.
  text() {
    const lines = this.songs.map((song) => `${song.title} ${duration(song.seconds)}`);
    return [...lines, `${this.name}: ${duration(this.length())}`].join('\n');
  }
}

// Minutes and seconds, the seconds with two digits: 75 is `1:15`. Minutes are not turned into hours.
export function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  const rest = String(seconds % 60).padStart(2, '0');
  return `${minutes}:${rest}`;
}

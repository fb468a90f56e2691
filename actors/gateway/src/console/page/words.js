// How are numbers and names said to a person?

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 1536 → `1.5 KiB`. */
export function size(bytes) {
  let unit = 0;
  let number = bytes;
  while (number >= 1024 && unit < UNITS.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${number < 10 && unit > 0 ? number.toFixed(1) : Math.round(number)} ${UNITS[unit]}`;
}

/** A length of time: `42 ms`, `1.53 s`, `2 min 5 s`, `3 h 12 min`. */
export function time(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 9995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min${seconds % 60 ? ` ${seconds % 60} s` : ''}`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ''}`;
  return `${Math.floor(minutes / 1440)} days`;
}

/** A length of time for a glance: `42 s`, `3 min`, `5 h`. */
export function about(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return time(seconds * 1000);
}

/** A place on the clock of a sound or a film: `0:04.6`, `1:02:03`. */
export function clock(ms, exact = true) {
  const tenths = Math.round(ms / 100);
  const [hours, minutes, seconds] = [Math.floor(tenths / 36_000), Math.floor(tenths / 600) % 60, Math.floor(tenths / 10) % 60];
  const end = `${String(seconds).padStart(2, '0')}${exact ? `.${tenths % 10}` : ''}`;
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${end}` : `${minutes}:${end}`;
}

/** The time of day: `14:03:27`. */
export function timeOfDay(ms) {
  const date = new Date(ms);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
}

/** `1 ask`, `2 asks`. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

/** Tokens a second. */
export function speed(perSecond) {
  return perSecond >= 100 ? String(Math.round(perSecond)) : perSecond.toFixed(1);
}

/** What a capability does, said of whoever has it. */
export function verb(capability) {
  return { transcribe: 'hears', see: 'looks', split: 'takes apart', chat: 'answers' }[capability] ?? capability;
}

/** The capability in a subject: `mb.v1.see.vision` → `see`. */
export function capabilityOf(subject) {
  return subject.split('.')[2] ?? '';
}

/** What kind of thing a file is, in a word. */
export function kindOf(file) {
  const [kind] = file.type.split('/');
  return { image: 'picture', audio: 'sound', video: 'film', text: 'text' }[kind] ?? 'file';
}

/** Content types by the ending of a name. What is not here is `application/octet-stream`: bytes that nobody interprets. */
const TEXT = '; charset=utf-8';

const TYPES: Readonly<Record<string, string>> = {
  avif: 'image/avif',
  bmp: 'image/bmp',
  css: `text/css${TEXT}`,
  csv: `text/csv${TEXT}`,
  gif: 'image/gif',
  gz: 'application/gzip',
  htm: `text/html${TEXT}`,
  html: `text/html${TEXT}`,
  ico: 'image/vnd.microsoft.icon',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  js: `text/javascript${TEXT}`,
  json: 'application/json',
  map: 'application/json',
  md: `text/markdown${TEXT}`,
  mjs: `text/javascript${TEXT}`,
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  ogg: 'audio/ogg',
  otf: 'font/otf',
  pdf: 'application/pdf',
  png: 'image/png',
  svg: 'image/svg+xml',
  tar: 'application/x-tar',
  txt: `text/plain${TEXT}`,
  wasm: 'application/wasm',
  webm: 'video/webm',
  webmanifest: 'application/manifest+json',
  webp: 'image/webp',
  woff: 'font/woff',
  woff2: 'font/woff2',
  xml: 'application/xml',
  zip: 'application/zip',
};

export function contentType(name: string): string {
  const ending = /\.(\w+)$/.exec(name)?.[1].toLowerCase() ?? '';
  return Object.hasOwn(TYPES, ending) ? TYPES[ending] : 'application/octet-stream';
}

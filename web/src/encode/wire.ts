/** The bytes of one query message, version 2: docs/device.md describes every one of them. */

export interface QueryMessage {
  readonly tokens: Float32Array; // count * width
  readonly count: number;
  readonly vector: Float32Array | null; // of unit norm
  readonly text: string;
  readonly negatives: readonly string[];
  readonly composer: string;
  readonly composerFingerprint: string;
  readonly galleryFingerprint: string;
  readonly textChecksum: string;
}

export class MessageError extends Error {}

const VERSION = 2;
const INT8 = 2;
const HEADER = 40;
const MAX_BYTES = 10_000;
const MAX_TEXT_BYTES = 1024;
const MAX_NEGATIVES = 8;

/** Write a message with tokens and vector as int8, half the bytes of half precision. */
export function pack(message: QueryMessage): Uint8Array<ArrayBuffer> {
  const text = utf8(message.text, MAX_TEXT_BYTES);
  const name = utf8(message.composer, 255);
  const negatives = message.negatives.map((negative) => utf8(negative, MAX_TEXT_BYTES));
  if (negatives.length > MAX_NEGATIVES) {
    throw new MessageError(`at most ${MAX_NEGATIVES} negatives can travel with a picture`);
  }
  const width = message.tokens.length / message.count;
  const parts = [
    header(message, width, text.length, name.length),
    name,
    text,
    ...negatives.flatMap((negative) => [uint16(negative.length), negative]),
    uint16(message.vector?.length ?? 0),
    ...int8Rows(message.tokens, message.count),
    ...(message.vector ? int8Rows(message.vector, 1) : []),
  ];
  return sealed(joined(parts));
}

function header(
  message: QueryMessage, width: number, textLength: number, nameLength: number,
): Uint8Array {
  const bytes = new Uint8Array(HEADER);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode("CIRQ"));
  view.setUint16(4, VERSION, true);
  view.setUint8(6, INT8);
  view.setUint8(7, message.negatives.length);
  view.setUint16(8, message.count, true);
  view.setUint16(10, width, true);
  view.setUint16(12, textLength, true);
  view.setUint8(14, nameLength);
  bytes.set(identity(message.galleryFingerprint), 16);
  bytes.set(identity(message.textChecksum), 24);
  bytes.set(identity(message.composerFingerprint), 32);
  return bytes;
}

/** Scales of all rows, then their bytes. */
function int8Rows(values: Float32Array, count: number): Uint8Array[] {
  const width = values.length / count;
  const scales = new DataView(new ArrayBuffer(4 * count));
  const quantised = new Int8Array(values.length);
  for (let row = 0; row < count; row++) {
    const numbers = values.subarray(row * width, (row + 1) * width);
    const largest = numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const scale = Math.fround(largest / 127);
    scales.setFloat32(4 * row, scale, true);
    numbers.forEach((value, n) => {
      quantised[row * width + n] = scale > 0 ? Math.round(value / scale) : 0;
    });
  }
  return [new Uint8Array(scales.buffer), new Uint8Array(quantised.buffer)];
}

function sealed(content: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(content.length + 4);
  whole.set(content);
  new DataView(whole.buffer).setUint32(content.length, crc32(content), true);
  if (whole.length > MAX_BYTES) {
    throw new MessageError(`the message has ${whole.length} bytes, ${MAX_BYTES} are the limit`);
  }
  return whole;
}

export function crc32(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

function utf8(text: string, most: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > most) throw new MessageError(`${bytes.length} bytes of text; ${most} may travel`);
  return bytes;
}

function uint16(value: number): Uint8Array {
  return new Uint8Array([value & 255, value >> 8]);
}

function identity(digits: string): Uint8Array {
  return Uint8Array.from({ length: 8 }, (_, n) => parseInt(digits.slice(2 * n, 2 * n + 2), 16));
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

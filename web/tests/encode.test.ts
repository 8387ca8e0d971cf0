import { expect, test } from "vitest";
import golden from "./golden.json";
import { preprocess, type PreprocessSpec, type Rgb } from "../src/encode/resize";
import { pack } from "../src/encode/wire";

function picture(width: number, height: number): Rgb {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data.set([x * 7 + y * 13, x * x + y * 3, x * y + y * y], (y * width + x) * 3);
    }
  }
  return { width, height, data };
}

test.each(golden.pictures)("$width x $height as the reference client ($spec.fit)", (expected) => {
  const made = preprocess(picture(expected.width, expected.height), expected.spec as PreprocessSpec);
  expect(made.data.length).toBe(expected.pixels.length);
  const differences = expected.pixels.map((value, n) => Math.abs(value - made.data[n]!));
  if (expected.height > expected.width) {
    // Pillow may shrink the columns of tall pictures first, which rounds elsewhere.
    expect(differences.reduce((sum, one) => sum + one) / differences.length).toBeLessThan(0.5);
    expect(differences.filter((difference) => difference > 1).length).toBeLessThan(120);
    return;
  }
  expect(Math.max(...differences)).toBeLessThanOrEqual(1); // the order of a sum may round a weight
  expect(differences.filter((difference) => difference > 0).length).toBeLessThan(20);
});

test("a message has the bytes of the reference client", () => {
  const tokens = Float32Array.from({ length: 24 }, (_, n) => Math.sin(n));
  const message = pack({
    tokens,
    count: 3,
    vector: Float32Array.of(0.6, 0, -0.8, 0),
    text: "at night, café",
    negatives: ["people", "a dog"],
    composer: "isa",
    composerFingerprint: "0123456789abcdef",
    galleryFingerprint: "fedcba9876543210",
    textChecksum: "00112233445566ff",
  });
  const digits = [...message].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  // The last digits of a float32 sine may differ between languages, and with them the checksum.
  expect(digits.length).toBe(golden.message.length);
  expect(digits.slice(0, 2 * 60)).toBe(golden.message.slice(0, 2 * 60));
  const differing = [...message].filter(
    (byte, n) => byte !== parseInt(golden.message.slice(2 * n, 2 * n + 2), 16),
  );
  expect(differing.length).toBeLessThanOrEqual(8);
});

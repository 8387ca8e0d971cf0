/** Pictures of the page for README and docs, from the sample catalogue: npm run screens. */

import { join, resolve } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { ARMCHAIR, staged } from "./server";

const IMAGES = resolve(import.meta.dirname, "../../../docs/images");

async function settled(page: Page): Promise<void> {
  await page.locator("#results[aria-busy=false]").waitFor();
  await page.waitForFunction(() => [...document.images].filter((image) => image.getBoundingClientRect().top < innerHeight).every((image) => image.complete));
}

async function kept(page: Page, name: string): Promise<void> {
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.screenshot({ path: join(IMAGES, name), type: "jpeg", quality: 82 });
}

test("the page, for people who read about it", async () => {
  const stage = await staged();
  const page = await stage.open({ viewport: { width: 1200, height: 800 }, colorScheme: "light" });
  await page.waitForFunction(() => [...document.images].every((image) => image.complete));
  await kept(page, "page-start.jpg");
  await page.setInputFiles("input[type=file] >> nth=0", ARMCHAIR);
  await settled(page);
  await page.fill("#words", "in red");
  await page.press("#words", "Enter");
  await settled(page);
  await kept(page, "page-results.jpg");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 800 });
  await kept(page, "page-phone-dark.jpg");
  await stage.close();
  expect(stage.problems).toEqual([]);
}, 240_000);

/** How long the page's user waits, and what is fetched: npm run figures. Times are this machine's. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { exported, fetchedBy, PICTURES, staged, type Stage } from "./server";

const ENCODED = 12;
const FILE_INPUT = "input[type=file] >> nth=0";
const WAIT = { timeout: 120_000 };

async function searched(page: Page, words: string): Promise<number> {
  const begun = await page.evaluate(() => performance.now());
  await page.fill("#words", words);
  await page.press("#words", "Enter");
  await page.locator("#results[aria-busy=false] [data-tile]").first().waitFor(WAIT);
  return page.evaluate((from) => performance.now() - from, begun);
}

/** Milliseconds of loading and of the first search after it, and megabytes fetched; the browser itself is warm. */
async function first(stage: Stage): Promise<string> {
  await (await stage.open()).context().close();
  const page = await stage.open();
  const bytes = fetchedBy(page);
  const begun = performance.now();
  await page.reload();
  await page.locator("[data-tile]").first().waitFor(WAIT);
  const loaded = performance.now() - begun;
  const search = await searched(page, "a red chair");
  await page.context().close();
  return `loaded in ${loaded.toFixed(0)} ms, first search ${search.toFixed(0)} ms, ${(bytes() / 2 ** 20).toFixed(1)} MiB by then`;
}

/** Milliseconds of encoding one picture in the browser, the first left out. */
async function encoding(stage: Stage): Promise<string> {
  const page = await stage.open();
  await page.getByTestId("side").selectOption("browser");
  const ready = await page.getByText(/^Ready/).textContent(WAIT);
  for (const [n, name] of readdirSync(PICTURES).slice(0, ENCODED + 1).entries()) {
    await page.getByRole("button", { name: "Start over" }).click().catch(() => undefined);
    await page.setInputFiles(FILE_INPUT, join(PICTURES, name));
    await page.waitForFunction((many) => performance.getEntriesByName("encode").length > many, n, WAIT);
  }
  const times = await page.evaluate(() => performance.getEntriesByName("encode").map(({ duration }) => duration));
  const sorted = times.slice(1).sort((a, b) => a - b);
  await page.context().close();
  return `${ready?.trim()}: p50 ${sorted[sorted.length >> 1]!.toFixed(0)} ms, most ${sorted.at(-1)!.toFixed(0)} ms a picture`;
}

test("figures", async () => {
  const served = await staged();
  const lines = [`served page: ${await first(served)}`, `in the browser: ${await encoding(served)}`];
  await served.close();
  const files = await exported();
  lines.push(`plain files: ${await first(files)}`);
  await files.close();
  console.log(lines.join("\n"));
  expect(lines).toHaveLength(3);
}, 900_000);

import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { staged } from "./server";

test("a server with a key is unlocked once, and its thumbnails with it", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "composir-key-")), "key.txt");
  writeFileSync(file, "0123456789abcdef-a-key\n");
  const stage = await staged("--api-key-file", file);
  const page = await stage.open();
  page.setDefaultTimeout(20_000);
  await page.getByLabel("API key").fill("another-key-0123456789");
  await page.getByRole("button", { name: "Use this key" }).click();
  await page.getByText("The server does not know this key.").waitFor();
  await page.getByLabel("API key").fill("0123456789abcdef-a-key");
  await page.getByRole("button", { name: "Use this key" }).click();
  const picture = page.locator("[data-tile] img").first();
  await picture.waitFor();
  await page.waitForFunction(() => document.querySelector<HTMLImageElement>("[data-tile] img")!.naturalWidth > 0);
  await page.reload();
  await picture.waitFor();
  await stage.close();
  const unexpected = stage.problems.filter((problem) => !problem.includes("401"));
  expect(unexpected).toEqual([]);
});

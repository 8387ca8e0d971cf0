import { mount } from "svelte";
import App from "./App.svelte";
import type { Api } from "./api/api";
import { ServerApi } from "./api/server";
import "./styles/tokens.css";
import "./styles/base.css";

/** Plain files say so in the page's head; what answers then is fetched by nobody else. */
async function found(): Promise<Api> {
  const files = document.querySelector<HTMLMetaElement>('meta[name="composir-files"]');
  return files ? new (await import("./files/api")).FilesApi(files.content) : new ServerApi();
}

void found().then((api) => mount(App, { target: document.getElementById("app")!, props: { api } }));

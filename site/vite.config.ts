import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** For the pages of the site. A cross-origin isolated page gets the finer clock. */
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export default defineConfig({
  base: "./",
  resolve: { alias: { cleanslab: fileURLToPath(new URL("../dist/index.js", import.meta.url)) } },
  build: { target: "es2022" },
  server: { headers },
  preview: { headers },
});

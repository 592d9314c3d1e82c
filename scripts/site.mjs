// `npm run site`: build/site, static files for publication: the README, the guide and the
// API as pages, the charts, the playground and the frames. `npm run docs` makes the pages alone.
// TypeDoc does not run on the project's TypeScript, so it is installed beside one of its own.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const TOOLS = ["typescript@6.0.3", "typedoc@0.28.20"];

const root = fileURLToPath(new URL("../", import.meta.url));
const out = join(root, "build/site");
// Outside the tree: TypeDoc would find the project's TypeScript first.
const tools = join(tmpdir(), `cleanslab-docs-${TOOLS.join("-").replaceAll("@", "-")}`);

function run(program, args, cwd = root) {
  const { status, error } = spawnSync(process.execPath, [program, ...args], { cwd, stdio: "inherit" });
  if (status !== 0) throw error ?? new Error(`${program} ended with ${status}`);
}

/** npm's own program: `npm` itself is a shell script on Windows. */
function installTools() {
  if (existsSync(join(tools, "node_modules/typedoc"))) return;
  mkdirSync(tools, { recursive: true });
  writeFileSync(join(tools, "package.json"), "{}");
  run(process.env.npm_execpath, ["install", "--silent", "--no-audit", "--no-fund", ...TOOLS], tools);
}

function writePages() {
  const { exports: entries } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const types = Object.values(entries).flatMap((entry) => entry.types?.replace("./dist", "build/types") ?? []);
  const guide = readdirSync(join(root, "docs/guide")).filter((page) => page !== "README.md");
  const documents = [...guide.map((page) => `docs/guide/${page}`), "docs/recipes/*.md", "docs/adr/0*.md"];
  const pages = ["docs/DESIGN.md", "docs/threat-model.md", "docs/measurements.md", "CHANGELOG.md"];
  const options = {
    name: "cleanslab",
    entryPoints: types.map((path) => join(root, path)),
    projectDocuments: [...documents, ...pages].map((path) => join(root, path)),
    readme: join(root, "README.md"),
    tsconfig: join(tools, "tsconfig.json"),
    out,
    excludeExternals: true,
    excludePrivate: true,
    disableSources: true,
    hideGenerator: true,
    skipErrorChecking: true,
    sort: ["source-order"],
    navigationLinks: { Playground: "playground/index.html" },
    validation: { notExported: false },
  };
  const compilerOptions = {
    lib: ["es2023", "es2024.sharedmemory", "esnext.disposable", "dom"],
    module: "nodenext",
    target: "es2022",
    strict: true,
    noEmit: true,
    types: ["node"],
    typeRoots: [join(root, "node_modules/@types")],
  };
  writeFileSync(join(tools, "tsconfig.json"), JSON.stringify({ compilerOptions, files: options.entryPoints }));
  writeFileSync(join(tools, "typedoc.json"), JSON.stringify(options));
  run(join(tools, "node_modules/typedoc/bin/typedoc"), ["--options", join(tools, "typedoc.json")], tools);
}

rmSync(out, { recursive: true, force: true });
installTools();
writePages();
if (!process.argv.includes("--pages")) {
  cpSync(join(root, "docs/charts"), join(out, "charts"), { recursive: true });
  const vite = join(root, "node_modules/vite/bin/vite.js");
  for (const page of ["playground", "frames"]) {
    const options = [
      "--config",
      "site/vite.config.ts",
      "--logLevel",
      "warn",
      "--emptyOutDir",
      "--outDir",
      join(out, page),
    ];
    run(vite, ["build", `site/${page}`, ...options]);
  }
}
console.log(`build/site: ${readdirSync(out).length} entries; open build/site/index.html`);

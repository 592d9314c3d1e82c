// Writes docs/api from the doc comments. TypeDoc does not run on TypeScript 7, so
// it is installed beside a TypeScript of its own, in a temporary folder.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const packages = ["typescript@6.0.3", "typedoc@0.28.20", "typedoc-plugin-markdown@4.14.1"];

const root = fileURLToPath(new URL("../", import.meta.url));
const out = join(root, "docs/api");
const { exports: entries, name } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
// Out of the tree, so that TypeDoc finds the TypeScript beside it and not the project's.
const workshop = mkdtempSync(join(tmpdir(), "api-"));

/** The source of each entry, by the name of its page. */
function entryPoints() {
  const points = new Map();
  for (const [entry, target] of Object.entries(entries)) {
    const built = typeof target === "string" ? target : target.default;
    if (!built.startsWith("./dist/")) continue;
    const source = join(root, built.replace("./dist/", "src/").replace(/\.js$/, ".ts"));
    if (existsSync(source)) points.set(entry === "." ? "core" : entry.slice(2).replaceAll("/", "-"), source);
  }
  return points;
}

function write(page, source) {
  const config = {
    extends: join(root, "tsconfig.json"),
    compilerOptions: {
      rootDir: join(root, "src"),
      noEmit: true,
      composite: false,
      incremental: false,
      declaration: false,
      sourceMap: false,
      inlineSources: false,
      types: page === "node" ? ["node"] : [],
      lib: ["es2023", "es2024.sharedmemory", "esnext.disposable", ...(page === "node" ? ["dom"] : [])],
      typeRoots: [join(root, "node_modules/@types")],
    },
    // The core declares the few globals it needs by itself; with Node's types they would clash.
    include: [join(root, page === "node" ? "src/node/**/*.ts" : "src/**/*.ts")],
    exclude: page === "node" ? [] : [join(root, "src/node")],
  };
  writeFileSync(join(workshop, "tsconfig.json"), JSON.stringify(config));
  const made = join(workshop, page);
  const options = {
    plugin: ["typedoc-plugin-markdown"],
    tsconfig: join(workshop, "tsconfig.json"),
    entryPoints: [source],
    out: made,
    outputFileStrategy: "modules",
    entryFileName: page,
    readme: "none",
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    disableSources: true,
    hidePageHeader: true,
    hidePageTitle: true,
    hideBreadcrumbs: true,
    useCodeBlocks: true,
    parametersFormat: "table",
    interfacePropertiesFormat: "table",
    typeDeclarationFormat: "table",
    sort: ["source-order"],
    logLevel: "Warn",
  };
  writeFileSync(join(workshop, "typedoc.json"), JSON.stringify(options));
  execFileSync(join(workshop, "node_modules/.bin/typedoc"), ["--options", "typedoc.json"], {
    cwd: workshop,
    stdio: "inherit",
  });
  const title = page === "core" ? name : `${name}/${page}`;
  const text = readFileSync(join(made, `${page}.md`), "utf8").trimEnd();
  writeFileSync(
    join(out, `${page}.md`),
    `<!-- Made from the doc comments by \`npm run docs\`. -->\n\n# ${title}\n\n${text}\n`,
  );
}

try {
  writeFileSync(join(workshop, "package.json"), "{}");
  execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", ...packages], {
    cwd: workshop,
    stdio: "inherit",
  });
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  for (const [page, source] of entryPoints()) write(page, source);
} finally {
  rmSync(workshop, { recursive: true, force: true });
}

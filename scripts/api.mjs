// `npm run api`: writes docs/api, a report of what each entry of the built package offers,
// by API Extractor. With --check it writes nothing and fails where a report is out of date.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Extractor, ExtractorConfig } from "@microsoft/api-extractor";

const check = process.argv.includes("--check");
const root = fileURLToPath(new URL("../", import.meta.url));
const work = join(root, "build/api");
/** It would tell at length that it wrote what it was asked to write. */
const messageCallback = (message) => {
  message.handled = true;
};
const quiet = { default: { logLevel: "none" } };
mkdirSync(work, { recursive: true });

/** @param types path of the entry's declarations, from the root. */
function reportOf(name, types) {
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: join(root, types),
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            lib: ["es2023", "es2024.sharedmemory", "esnext.disposable", "dom"],
            module: "nodenext",
            strict: true,
            target: "es2022",
            types: ["node"],
          },
          include: [types],
        },
      },
      apiReport: { enabled: true, reportFileName: name, reportFolder: work, reportTempFolder: join(work, "temp") },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      messages: { compilerMessageReporting: quiet, extractorMessageReporting: quiet, tsdocMessageReporting: quiet },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, "package.json"),
  });
  Extractor.invoke(config, { localBuild: true, messageCallback });
  const report = readFileSync(join(work, `${name}.api.md`), "utf8").replaceAll("\r\n", "\n");
  return report.replaceAll(/^ *\/\/ \(undocumented\)\n/gm, "").replace(/\n\/\/ \(No @packageDoc.*\n/, "");
}

for (const [entry, targets] of Object.entries(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).exports)) {
  const types = targets.types?.replace("./dist", "build/types");
  if (types === undefined) continue;
  const name = entry === "." ? "core" : entry.slice(2);
  const path = join(root, "docs/api", `${name}.api.md`);
  const report = reportOf(name, types);
  if (existsSync(path) && readFileSync(path, "utf8") === report) continue;
  if (check) {
    console.error(
      `docs/api/${name}.api.md does not say what the package offers: npm run api, and look at the difference`,
    );
    process.exitCode = 1;
  } else {
    mkdirSync(join(root, "docs/api"), { recursive: true });
    writeFileSync(path, report);
  }
}

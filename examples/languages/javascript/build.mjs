// node build.mjs COMPONENTIZE_MODULE SOURCE WIT OUT: the API of componentize-js, because its command line expects a file system that it is
// not given.
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [componentizeModule, sourcePath, witPath, out] = process.argv.slice(2);
const { componentize } = await import(pathToFileURL(componentizeModule));
const { component } = await componentize({ sourcePath, witPath, worldName: "app" });
writeFileSync(out, component);

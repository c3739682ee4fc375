// node embed.mjs JCO CORE WIT WORLD OUT: puts the world into a core module, so that it can become a component. jco's API does it with a text
// of all packages, because its command line expects a file system that it is not given.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [jco, core, wit, world, out] = process.argv.slice(2);
const { componentEmbed } = await import(pathToFileURL(jco));

const read = (...path) => readFileSync(join(wit, ...path), "utf8");
// A package in the same text as another stands in braces.
const nested = (text) => text.replace(/^(package [^;]+);/m, "$1 {") + "}\n";
const packages = readdirSync(join(wit, "deps")).map((file) => nested(read("deps", file)));
const witSource = [read("world.wit"), ...packages].join("\n");
writeFileSync(out, await componentEmbed({ binary: readFileSync(core), witSource, world }));

#!/usr/bin/env node
// The compiler of package.json (WebAssembly) in the form in which forge calls a native one, which would have to be
// downloaded: `--version`, or a standard JSON request with all sources on stdin.
const { writeSync } = require("node:fs");
const { text } = require("node:stream/consumers");
const solc = require("solc");

if (process.argv.includes("--version")) {
  console.log(`Version: ${solc.version()}`);
} else {
  text(process.stdin).then((request) => {
    const answer = Buffer.from(solc.compile(request));
    for (let sent = 0; sent < answer.length; ) sent += writeSync(1, answer, sent);
  });
}

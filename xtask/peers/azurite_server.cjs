// Azurite as a server of Azure Blob Storage (a container with a few blobs), in memory, on a free port
// of the loopback interface.
//
//     node azurite_server.cjs FOLDER
//
// FOLDER holds `node_modules`. Writes one line of JSON once it listens: URL, account and key, which
// are public. It checks the signature of every request, and ends when its standard input does.
"use strict";

const { createHmac } = require("crypto");
const { spawn } = require("child_process");
const http = require("http");
const path = require("path");

const ACCOUNT = "devstoreaccount1";
const KEY =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const VERSION = "2021-12-02";

// https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
function put(url, name, query, body, extra) {
  const target = `/${ACCOUNT}/models${name}`;
  const length = body.length ? String(body.length) : "";
  const headers = { ...extra, "x-ms-date": new Date().toUTCString(), "x-ms-version": VERSION };
  const sorted = Object.keys(headers).sort().map((key) => `${key}:${headers[key]}\n`).join("");
  const resource = `/${ACCOUNT}${target}` + query.map(([key, value]) => `\n${key}:${value}`).join("");
  const text = `PUT\n\n\n${length}\n\n\n\n\n\n\n\n\n${sorted}${resource}`;
  const mac = createHmac("sha256", Buffer.from(KEY, "base64")).update(text).digest("base64");
  const search = query.length ? "?" + query.map(([key, value]) => `${key}=${value}`).join("&") : "";
  return new Promise((resolve, reject) => {
    const request = http.request(
      new URL(url.origin + target + search),
      {
        method: "PUT",
        headers: { ...headers, "content-length": body.length, authorization: `SharedKey ${ACCOUNT}:${mac}` },
      },
      (answer) => {
        answer.resume();
        if (answer.statusCode === 201) resolve();
        else reject(new Error(`${name}: ${answer.statusCode}`));
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

async function fill(url) {
  await put(url, "", [["restype", "container"]], Buffer.alloc(0), {});
  const size = 20 << 20;
  const header = Buffer.from(
    JSON.stringify({ w: { dtype: "U8", shape: [size], data_offsets: [0, size] } }),
  );
  const length = Buffer.alloc(8);
  length.writeUInt32LE(header.length);
  const blob = { "x-ms-blob-type": "BlockBlob" };
  const bad = Buffer.from("cos\nsystem\n(S'id'\ntR.");
  await put(url, "/cli/a%20b%2B%C3%A9.pkl", [], bad, blob);
  const tensors = Buffer.concat([length, header, Buffer.alloc(size)]);
  await put(url, "/cli/sub/large.safetensors", [], tensors, blob);
  await put(url, "/cli/sub/none", [], Buffer.alloc(0), blob);
}

const program = path.join(process.argv[2], "node_modules/azurite/dist/src/blob/main.js");
const child = spawn(
  process.execPath,
  [program, "--inMemoryPersistence", "--blobPort", "0", "--disableTelemetry", "--silent"],
  { stdio: ["ignore", "pipe", "inherit"] },
);
process.stdin.resume();
process.stdin.on("end", () => child.kill());
child.on("exit", () => process.exit(0));

let said = "";
child.stdout.on("data", async (piece) => {
  const before = said;
  said += piece;
  const listens = /listens on (http:\/\/[0-9.:]+)/;
  const found = listens.exec(said);
  if (!found || listens.exec(before)) return;
  const url = new URL(found[1]);
  try {
    await fill(url);
  } catch (error) {
    process.stderr.write(`${error}\n`);
    child.kill();
    return;
  }
  const described = { url: `${url.origin}/${ACCOUNT}`, account: ACCOUNT, key: KEY };
  process.stdout.write(`${JSON.stringify(described)}\n`);
});

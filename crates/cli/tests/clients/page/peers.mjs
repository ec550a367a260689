// The peers of the page: another client, a proxy that loses connections, and servers that refuse them.

import { once } from "node:events";
import http from "node:http";
import net from "node:net";

import { require, server } from "./window.mjs";

const { WebSocket } = require("ws");

/** Connects a chat client that is not the page. `topic` is subscribed to when this returns. */
export async function otherClient(topic) {
  const socket = new WebSocket(`${server.origin.replace(/^http/, "ws")}/ws?topic=${encodeURIComponent(topic)}`);
  await new Promise((open, refused) => socket.on("open", open).on("error", refused));
  return socket;
}

/** A TCP proxy to the server that can cut all connections, and listen again on the same port. */
export class CuttableProxy {
  sockets = new Set();

  static async listen(port = 0) {
    const proxy = new CuttableProxy();
    proxy.listener = net.createServer((near) => {
      const far = net.connect(Number(server.port), server.hostname);
      for (const socket of [near, far]) {
        proxy.sockets.add(socket);
        socket.on("error", () => {}).on("close", () => { near.destroy(); far.destroy(); });
      }
      near.pipe(far).pipe(near);
    });
    await new Promise((listening, failed) => {
      proxy.listener.on("error", failed).listen(port, "127.0.0.1", listening);
    });
    return proxy;
  }

  get port() {
    return this.listener.address().port;
  }

  async cut() {
    const closed = new Promise((done) => this.listener.close(done));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

/**
 * Starts a server that has the page, refuses every WebSocket, and gives `answer(method)`, an array of status, body and
 * headers, to every other request. Returns its origin, the methods and origins of these requests, and a function that
 * stops it.
 */
export async function refusingServer(answer) {
  const asked = [];
  const front = http.createServer(async (request, response) => {
    if (request.url !== "/") {
      asked.push(`${request.method} ${request.headers.origin}`);
      const [status, body = "", headers = {}] = answer(request.method);
      return response.writeHead(status, headers).end(body);
    }
    const page = await fetch(server.origin);
    const policy = page.headers.get("content-security-policy");
    response.writeHead(200, { "content-type": "text/html", "content-security-policy": policy }).end(await page.text());
  });
  front.on("upgrade", (_, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  const origin = `http://127.0.0.1:${front.address().port}`;
  return { origin, asked, stop: () => front.closeAllConnections() ?? front.close() };
}

/** Returns the next message that a client of `otherClient` gets, as text. */
export async function nextMessage(socket) {
  const [data] = await once(socket, "message");
  return String(data);
}

// The echo of `ws` on Node: node node.js PORT

import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
server.on("connection", (socket) => {
  socket.on("error", () => {}); // it is closed then
  socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
});

// An echo with `ws` on Node: node node.js PORT

import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
server.on("connection", (socket) => {
  socket.on("error", () => {}); // `ws` closes the connection itself
  socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
});

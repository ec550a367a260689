// Bun's own WebSocket server, with an echo on /echo and its `publish` on all other paths: bun bun.js PORT

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch(request, server) {
    const data = { isEcho: new URL(request.url).pathname === "/echo" };
    return server.upgrade(request, { data }) ? undefined : new Response(null, { status: 400 });
  },
  websocket: {
    idleTimeout: 960,
    open(socket) {
      if (!socket.data.isEcho) socket.subscribe("all");
    },
    message(socket, message) {
      if (socket.data.isEcho) socket.send(message);
      else server.publish("all", message);
    },
  },
});

// Accepts connections for the gRPC server and keeps count: who has not proved to be a trainer has little room and little time.
import { createServer } from 'node:net';
import type { ListenOptions, Server, Socket } from 'node:net';
import type { Limits } from './limits.ts';
import type { IngestMetrics } from './metrics.ts';
import type { Wheel } from './wheel.ts';

export interface ConnectionsOptions {
  readonly limits: Limits;
  readonly metrics: IngestMetrics;
  readonly wheel: Wheel;
  /** Takes a connection over. */
  readonly serve: (socket: Socket) => void;
}

interface Unproven {
  readonly address: string;
  readonly forget: () => void;
}

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #unproven = new Map<string, Unproven>();
  readonly #unprovenOf = new Map<string, number>();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true, keepAlive: true }, (socket) => this.#accept(socket));
  }

  /** Returns the port. Throws when it is taken. */
  async listen(host: string, port: number): Promise<number> {
    await listen(this.#server, { host, port, backlog: this.#options.limits.unacceptedConnections });
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : port;
  }

  /** The connection of that peer ("address:port") has a stream of a known trainer. */
  prove(peer: string): void {
    const entry = this.#unproven.get(peer);
    if (entry === undefined) return;
    this.#unproven.delete(peer);
    this.#count(entry.address, -1);
    entry.forget();
  }

  /** Accepts no more. */
  stop(): void {
    this.#server.close();
  }

  /** Ends what is still open. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    const { metrics, wheel, limits, serve } = this.#options;
    const { remoteAddress: address, remotePort } = socket;
    socket.on('error', () => undefined);
    // It has gone already.
    if (address === undefined || remotePort === undefined) return void socket.destroy();
    const [peer, reason] = [`${address}:${remotePort}`, this.#refusalOf(address)];
    if (reason !== undefined) return this.#refuse(socket, reason);
    this.#sockets.add(socket);
    this.#count(address, 1);
    this.#unproven.set(peer, { address, forget: wheel.after(limits.unprovenMs, () => this.#refuse(socket, 'unproven')) });
    metrics.connections.set(this.#sockets.size);
    socket.on('close', () => {
      this.prove(peer);
      this.#sockets.delete(socket);
      metrics.connections.set(this.#sockets.size);
    });
    serve(socket);
  }

  #refusalOf(address: string): 'limit' | 'address_limit' | undefined {
    const { connections, unprovenConnections, unprovenPerAddress } = this.#options.limits;
    if (this.#sockets.size >= connections || this.#unproven.size >= unprovenConnections) return 'limit';
    return (this.#unprovenOf.get(address) ?? 0) >= unprovenPerAddress ? 'address_limit' : undefined;
  }

  #refuse(socket: Socket, reason: 'limit' | 'address_limit' | 'unproven'): void {
    this.#options.metrics.refusedConnections.inc({ reason });
    socket.destroy();
  }

  #count(address: string, by: number): void {
    const now = (this.#unprovenOf.get(address) ?? 0) + by;
    if (now > 0) this.#unprovenOf.set(address, now);
    else this.#unprovenOf.delete(address);
  }
}

function listen(server: Server, at: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(at, () => {
      server.on('error', () => undefined);
      resolve();
    });
  });
}

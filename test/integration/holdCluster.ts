// Starts a cluster and waits to be killed: the victim of controlplane.test.ts.
import { startCluster } from './cluster.ts';

const cluster = await startCluster({ controllers: true });
process.stdout.write(`${cluster.dir}\n`);
setInterval(() => undefined, 60_000);

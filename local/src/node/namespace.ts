// The agent's own mount namespace. What it mounts (sized volumes) is seen by it and its pods only and ends with the last of
// them, so nothing is left mounted even after kill -9. Without root a user namespace comes with it.
import { execFileSync } from 'node:child_process';
import { toolPath } from './sandbox.ts';

const MARK = 'POLAR_NODE_NAMESPACE';

const flags = (): string[] => (process.getuid?.() === 0 ? ['--mount'] : ['--user', '--map-root-user', '--mount']);

const explain = (why: string): string => [
  `this machine does not allow the namespaces that pods run in: ${why.trim()}`,
  'Run as root, or allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0).',
].join('\n');

/** Replaces this process by itself inside the namespace, under the same pid; returns when already there. Throws Error saying what to allow. */
export const enterNamespace = (): void => {
  if (process.env[MARK] === String(process.pid)) {
    delete process.env[MARK];
    return;
  }
  const unshare = toolPath('unshare');
  try {
    execFileSync(unshare, [...flags(), '--pid', '--uts', '--fork', 'true'], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: Buffer };
    throw new Error(explain(stderr?.toString() || message), { cause: error });
  }
  process.execve?.(unshare, ['unshare', ...flags(), process.execPath, ...process.execArgv, ...process.argv.slice(1)], { ...process.env, [MARK]: String(process.pid) });
};

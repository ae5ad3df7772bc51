// The Indexed Job of an attempt: one pod per worker, all run or the attempt ends. Kubernetes never restarts any part of it by itself.
import { EXIT_CODES, FAILURE_RULES } from '../api/exitCodes.ts';
import { ANNOTATION_GENERATION, TRAINER_CONTAINER } from '../api/labels.ts';
import { avoidance } from './avoidance.ts';
import type { Attempt } from './desired.ts';
import { childLabels, childMeta, childName } from './naming.ts';
import type { Job } from './objects.ts';
import { placed } from './topology.ts';
import type { Template } from './topology.ts';
import { podVolumes } from './volumes.ts';
import { trainerContainer } from './container.ts';

type Rule = Readonly<Record<string, unknown>>;

// The trainer image's user; pods that may run as root are refused by the restricted Pod Security Standard.
const USER = 65532;

export function desiredJob(of: Attempt): Job {
  const { replicas } = of.spec.spec.workers;
  return {
    apiVersion: 'batch/v1', kind: 'Job',
    metadata: { ...childMeta(of.run, of.attempt), annotations: { [ANNOTATION_GENERATION]: String(of.run.metadata.generation ?? 0) } },
    spec: {
      completionMode: 'Indexed', completions: replicas, parallelism: replicas, backoffLimit: 0, podReplacementPolicy: 'Failed',
      podFailurePolicy: { rules: failureRules() },
      template: placed(podTemplate(of), of),
    },
  };
}

/** Every rule ends the Job; which one matched is what its Failed condition says after the pods are gone. */
function failureRules(): readonly Rule[] {
  return FAILURE_RULES.map(({ reasons }) => {
    if (reasons.includes('Disrupted')) return { action: 'FailJob', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] };
    const onExitCodes = reasons.includes('Crashed')
      ? { operator: 'NotIn', values: [0] }
      : { operator: 'In', values: reasons.flatMap((reason) => (reason === 'Disrupted' ? [] : [EXIT_CODES[reason]])) };
    return { action: 'FailJob', onExitCodes: { containerName: TRAINER_CONTAINER, ...onExitCodes } };
  });
}

function podTemplate(of: Attempt): Template {
  const { terminationGracePeriodSeconds, podTemplate: given = {} } = of.spec.spec.workers;
  const { labels, annotations, ...scheduling } = given;
  return {
    metadata: {
      labels: { ...labels, ...childLabels(of.run, of.attempt) },
      annotations: { ...annotations, 'kubectl.kubernetes.io/default-container': TRAINER_CONTAINER },
    },
    spec: {
      restartPolicy: 'Never', subdomain: childName(of.run, of.attempt), terminationGracePeriodSeconds,
      automountServiceAccountToken: false, enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, runAsUser: USER, runAsGroup: USER, fsGroup: USER, fsGroupChangePolicy: 'OnRootMismatch', seccompProfile: { type: 'RuntimeDefault' } },
      ...scheduling, ...avoidance(of),
      containers: [trainerContainer(of)],
      volumes: podVolumes(of),
    },
  };
}

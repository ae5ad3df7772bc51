// The fields of built-in Kubernetes objects that a run reads or writes, and the resources they come from.
import type { KubeObject, Resource } from '../runtime/object.ts';

export interface KubeCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
}

export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: { readonly startedAt?: string };
  readonly terminated?: { readonly exitCode: number; readonly reason?: string; readonly message?: string };
}

export interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly KubeCondition[];
    readonly containerStatuses?: readonly { readonly name: string; readonly ready?: boolean; readonly state?: ContainerState }[];
  };
}

export interface Job extends KubeObject {
  readonly spec: { readonly parallelism?: number; readonly suspend?: boolean } & Readonly<Record<string, unknown>>;
  readonly status?: { readonly startTime?: string; readonly conditions?: readonly KubeCondition[] };
}

export interface Service extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface Claim extends KubeObject {
  readonly spec?: { readonly accessModes?: readonly string[] };
  readonly status?: { readonly phase?: string };
}

const namespaced = (apiVersion: string, kind: string, plural: string): Resource => ({ apiVersion, kind, plural, namespaced: true });

export const JOBS = namespaced('batch/v1', 'Job', 'jobs');
export const PODS = namespaced('v1', 'Pod', 'pods');
export const SERVICES = namespaced('v1', 'Service', 'services');
export const CONFIG_MAPS = namespaced('v1', 'ConfigMap', 'configmaps');
export const CLAIMS = namespaced('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims');

/** The condition of that type when its status is True. */
export function isTrue(conditions: readonly KubeCondition[] | undefined, type: string): KubeCondition | undefined {
  return conditions?.find((condition) => condition.type === type && condition.status === 'True');
}

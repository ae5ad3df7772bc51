// The API objects the agent reads and writes, as they travel: JSON with string timestamps.
import type {
  V1ConfigMap, V1Container, V1ContainerState, V1ContainerStatus, V1EnvVar, V1LifecycleHandler, V1ObjectMeta,
  V1PersistentVolume, V1PersistentVolumeClaim, V1Pod, V1PodCondition, V1PodSpec, V1PodStatus, V1Probe, V1ResourceFieldSelector,
  V1Secret, V1Service, V1StorageClass, V1Volume, V1VolumeMount, V1VolumeProjection,
} from '@kubernetes/client-node';

/** A client-node model as raw JSON: every Date is the string the API server sent. */
export type Raw<T> = T extends Date ? string
  : T extends (infer U)[] ? Raw<U>[]
    : T extends object ? { [K in keyof T]: Raw<T[K]> }
      : T;

export type Meta = Raw<V1ObjectMeta> & { name: string; uid: string };
type Stored<T> = Omit<Raw<T>, 'metadata'> & { metadata: Meta & { namespace: string } };

export type Pod = Omit<Stored<V1Pod>, 'spec'> & { spec: Raw<V1PodSpec> };
export type PodStatus = Raw<V1PodStatus>;
export type PodCondition = Raw<V1PodCondition>;
export type Container = Raw<V1Container>;
export type ContainerState = Raw<V1ContainerState>;
export type ContainerStatus = Raw<V1ContainerStatus>;
export type EnvVar = Raw<V1EnvVar>;
export type Handler = Raw<V1LifecycleHandler>;
export type Probe = Raw<V1Probe>;
export type ResourceField = Raw<V1ResourceFieldSelector>;
export type Volume = Raw<V1Volume>;
export type VolumeMount = Raw<V1VolumeMount>;
export type Projection = Raw<V1VolumeProjection>;
export type ConfigMap = Stored<V1ConfigMap>;
export type Secret = Stored<V1Secret>;
export type Service = Stored<V1Service>;
export type Claim = Stored<V1PersistentVolumeClaim>;
export type PersistentVolume = Omit<Raw<V1PersistentVolume>, 'metadata'> & { metadata: Meta };
export type StorageClass = Omit<Raw<V1StorageClass>, 'metadata'> & { metadata: Meta };

/** "namespace/name", as logs and messages name an object. */
export const keyOf = (object: { metadata: { namespace?: string; name: string } }): string =>
  object.metadata.namespace === undefined ? object.metadata.name : `${object.metadata.namespace}/${object.metadata.name}`;

// The scalar types of the API: decimals and quantities are strings, so that no float enters a spec or a status.
import { z } from 'zod';

const CEL_NO_DOTDOT = "!self.contains('/../') && !self.endsWith('/..')";

/** A CEL rule in the form the API server wants; the message says what was expected. */
export const rule = (expression: string, message: string, fieldPath?: string): Record<string, string> =>
  ({ rule: expression, message, ...(fieldPath === undefined ? {} : { fieldPath }) });

/** Attaches CEL rules to a schema node. */
export const rules = (...list: Record<string, string>[]): Record<string, unknown> => ({ 'x-kubernetes-validations': list });

/** The rule that a required field of a spec keeps its first value. */
export const immutable = (field: string): Record<string, string> =>
  rule(`self.${field} == oldSelf.${field}`, `${field} cannot be changed after creation: create a new run instead`, `.${field}`);

const celDouble = (value: number): string => (Number.isInteger(value) ? value.toFixed(1) : String(value));

/** A non-negative decimal such as "0.001" or "1e-5", bounded by CEL to [min, max]. */
export const decimal = (description: string, min: number, max: number): z.ZodString =>
  z.string().max(24).regex(/^[0-9]+(\.[0-9]+)?(e-?[0-9]{1,2})?$/).meta({
    description,
    ...rules(rule(`!self.matches('^[0-9]+([.][0-9]+)?(e-?[0-9]{1,2})?$') || (double(self) >= ${celDouble(min)} && double(self) <= ${celDouble(max)})`,
      `must be a decimal between ${String(min)} and ${String(max)}`)),
  });

/** A decimal as above, or one word. */
export const decimalOr = (word: string, description: string, min: number, max: number): z.ZodString =>
  z.string().max(24).regex(new RegExp(`^(${word}|[0-9]+(\\.[0-9]+)?(e-?[0-9]{1,2})?)$`)).meta({
    description,
    ...rules(rule(`!self.matches('^[0-9]+([.][0-9]+)?(e-?[0-9]{1,2})?$') || (double(self) >= ${celDouble(min)} && double(self) <= ${celDouble(max)})`,
      `must be ${word} or a decimal between ${String(min)} and ${String(max)}`)),
  });

/** A count such as "500", "1.5M", "2.5B" or "0.94T" (powers of ten). */
export const count = (description: string): z.ZodString =>
  z.string().max(16).regex(/^[0-9]+(\.[0-9]{1,6})?[KMBT]?$/).meta({ description });

/** pvc://<claim>/<path>: a file or directory on a PersistentVolumeClaim of the run's namespace. */
export const volumeUri = (description: string): z.ZodString =>
  z.string().max(512).regex(/^pvc:\/\/[a-z0-9]([-a-z0-9.]*[a-z0-9])?(\/[A-Za-z0-9._=@+-]+)*\/?$/).meta({
    description: `${description} Written pvc://<claim>/<path>; the claim is in the namespace of this object.`,
    ...rules(rule(CEL_NO_DOTDOT, 'must not contain ".." as a path element')),
  });

const STORED = /^(pvc:\/\/[a-z0-9]([-a-z0-9.]*[a-z0-9])?|s3:\/\/[a-z0-9][a-z0-9.-]*[a-z0-9])(\/[A-Za-z0-9._=@+-]+)*\/?$/;

/** A volumeUri, or s3://<bucket>/<path>: a directory in the bucket store of the run. */
export const storedUri = (description: string): z.ZodString =>
  z.string().max(1024).regex(STORED).meta({
    description: `${description} Written pvc://<claim>/<path>, the claim being in the namespace of this object, or s3://<bucket>/<path>, which is read with endpoint and credentials of checkpoint.store.s3.`,
    ...rules(rule(CEL_NO_DOTDOT, 'must not contain ".." as a path element')),
  });

export function isBucketUri(uri: string): boolean {
  return uri.startsWith('s3://');
}

/** A Kubernetes object name (DNS subdomain). */
export const objectName = (description: string): z.ZodString =>
  z.string().min(1).max(253).regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/).meta({ description });

const QUANTITY = /^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$/;

/** A Kubernetes resource quantity such as 2, "500m" or "4Gi". */
export const quantity = z.union([z.int().nonnegative(), z.string().max(32).regex(QUANTITY)])
  .meta({ 'x-kubernetes-int-or-string': true, pattern: QUANTITY.source });

/** Number of things a count stands for: parseCount("1.5M") is 1500000. */
export function parseCount(text: string): number {
  const scale = { K: 1e3, M: 1e6, B: 1e9, T: 1e12 }[text.slice(-1)];
  return Math.round(scale === undefined ? Number(text) : Number(text.slice(0, -1)) * scale);
}

/** A pvc:// URI taken apart; path has no leading or trailing slash. */
export function parseVolumeUri(uri: string): { readonly claim: string; readonly path: string } {
  const rest = uri.slice('pvc://'.length);
  const slash = rest.indexOf('/');
  if (slash < 0) return { claim: rest, path: '' };
  return { claim: rest.slice(0, slash), path: rest.slice(slash + 1).replace(/\/+$/, '') };
}

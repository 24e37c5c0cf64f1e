// What `dashboard.json` of the same folder has to be: Grafana's type, with the texts that its enums stand for.
import type { Dashboard } from '@grafana/schema';

type AsJson<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends (infer Element)[]
      ? AsJson<Element>[]
      : T extends object
        ? { [Key in keyof T]: AsJson<T[Key]> }
        : T;

export type DashboardAsJson = AsJson<Dashboard>;

// A panel's field settings and overrides, laid over its data as Grafana does.

import {
  type DataFrame,
  FieldConfigOptionsRegistry,
  type FieldConfigPropertyItem,
  type FieldConfigSource,
  FieldType,
  type GrafanaTheme2,
  applyFieldOverrides,
} from '@grafana/data';

const OF_NUMBERS = ['unit', 'min', 'max', 'decimals'];
const OF_ALL = ['displayName', 'noValue', 'color', 'thresholds', 'mappings', 'links'];

/** JSON has no minus infinity; Grafana writes null for it. */
export function restored(source: FieldConfigSource): FieldConfigSource {
  const steps = source.defaults.thresholds?.steps.map((step) => ({
    ...step,
    value: step.value ?? -Infinity,
  }));
  const thresholds = steps && { ...source.defaults.thresholds!, steps };
  return { ...source, defaults: { ...source.defaults, thresholds } };
}

/** Every setting that the panel has, by its path; no editor is ever opened here. */
function registry(source: FieldConfigSource): FieldConfigOptionsRegistry {
  const nothing = () => null;
  const item = (id: string, numbersOnly: boolean): FieldConfigPropertyItem => {
    const isCustom = id.startsWith('custom.');
    return {
      id,
      path: isCustom ? id.slice('custom.'.length) : id,
      isCustom,
      name: id,
      editor: nothing,
      override: nothing,
      process: (value) => value,
      shouldApply: (field) => !numbersOnly || field.type === FieldType.number,
    };
  };
  const custom = new Set(Object.keys(source.defaults.custom ?? {}).map((key) => `custom.${key}`));
  for (const { properties } of source.overrides) {
    for (const { id } of properties) {
      if (id.startsWith('custom.')) {
        custom.add(id);
      } else if (![...OF_NUMBERS, ...OF_ALL].includes(id)) {
        throw new Error(`an override of ${id}, which this check does not know`);
      }
    }
  }
  return new FieldConfigOptionsRegistry(() => [
    ...OF_NUMBERS.map((id) => item(id, true)),
    ...OF_ALL.map((id) => item(id, false)),
    ...[...custom].map((id) => item(id, false)),
  ]);
}

export function withSettings(
  data: DataFrame[],
  source: FieldConfigSource,
  theme: GrafanaTheme2
): DataFrame[] {
  return applyFieldOverrides({
    data,
    fieldConfig: source,
    fieldConfigRegistry: registry(source),
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
}

// What Grafana's published schema says of a dashboard's JSON.
//
// Its enums are TypeScript's, to which a string of a JSON file is not assignable; `Written`
// takes their values instead. Options and field settings of a panel are of its type.

import type { Dashboard, FieldConfigSource, Panel, RowPanel, VariableModel } from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen.js';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen.js';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.js';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.js';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.js';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.js';

type Written<T> = T extends string
  ? `${T}`
  : T extends Array<infer Item>
    ? Written<Item>[]
    : T extends object
      ? { [Key in keyof T]: Written<T[Key]> }
      : T;

// The first step of thresholds begins at minus infinity, which JSON writes as null.
type Thresholds = { mode: 'absolute' | 'percentage'; steps: { color: string; value: number | null }[] };

type Fields<Custom> = Omit<Written<FieldConfigSource>, 'defaults'> & {
  defaults: Omit<Written<FieldConfigSource['defaults']>, 'thresholds' | 'custom'> & {
    thresholds?: Thresholds;
    custom?: Partial<Written<Custom>>;
  };
};

type PanelOf<Type extends string, Options, Custom> = Omit<
  Written<Panel>,
  'type' | 'options' | 'fieldConfig'
> & {
  type: Type;
  // Without a title, a description or a unit a panel tells nobody anything.
  title: string;
  description: string;
  options: Partial<Written<Options>>;
  fieldConfig: Fields<Custom> & { defaults: { unit: string } };
};

export type Drawn =
  | PanelOf<'stat', stat.Options, object>
  | PanelOf<'bargauge', bargauge.Options, object>
  | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | PanelOf<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
  | PanelOf<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | PanelOf<'table', table.Options, table.FieldConfig>;

export type Row = Omit<Written<RowPanel>, 'panels'> & { panels: Drawn[] };

// Of a variable that is an interval; Grafana's builders write it for every kind.
type Variable = Written<VariableModel> & { auto?: boolean; auto_count?: number; auto_min?: string };

export type Board = Omit<Written<Dashboard>, 'panels' | 'templating'> & {
  uid: string;
  title: string;
  panels: (Drawn | Row)[];
  templating: { list: Variable[] };
};

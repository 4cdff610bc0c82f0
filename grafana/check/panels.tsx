// One component of Grafana's for each kind of panel. State timelines and heatmaps are not
// among those it publishes: these two are drawn on its plot, axes, legend and colours.

import {
  type DataFrame,
  type FieldConfigSource,
  type FieldDisplay,
  type ReduceDataOptions,
  type TimeRange,
  VizOrientation,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import type {
  BarGaugeDisplayMode,
  BarGaugeNamePlacement,
  BarGaugeValueMode,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  DataTransformerConfig,
  TableCellHeight,
  TableSortByFieldState,
  VizLegendOptions,
} from '@grafana/schema';
import { BarGauge, BigValue, Table, TimeSeries, VizRepeater, useTheme2 } from '@grafana/ui';
import type { ReactElement } from 'react';
import { lastValueFrom } from 'rxjs';

import { Heatmap, type HeatmapOptions } from './heatmap';
import { StateTimeline, type TimelineOptions } from './timeline';

export interface Drawing {
  data: DataFrame[];
  fieldConfig: FieldConfigSource;
  options: unknown;
  range: TimeRange;
  width: number;
  height: number;
}

standardTransformersRegistry.setInit(() => [
  {
    id: 'organize',
    name: 'organize',
    editor: () => null,
    transformation: standardTransformers.organizeFieldsTransformer,
  },
]);

export function transformed(
  transformations: DataTransformerConfig[],
  data: DataFrame[]
): Promise<DataFrame[]> {
  for (const { id } of transformations) {
    standardTransformersRegistry.get(id);
  }
  return lastValueFrom(transformDataFrame(transformations, data));
}

function useDisplays({ data, fieldConfig }: Drawing, reduceOptions: ReduceDataOptions) {
  const theme = useTheme2();
  const replaceVariables = (text: string) => text;
  const timeZone = 'utc';
  return () =>
    getFieldDisplayValues({ data, fieldConfig, reduceOptions, replaceVariables, theme, timeZone });
}

/** What a repeater of values is told, whatever draws each. */
function repeated({ data, width, height }: Drawing, getValues: () => FieldDisplay[]) {
  return { getValues, height, itemSpacing: 8, renderCounter: 0, source: data, width };
}

interface StatOptions {
  colorMode: BigValueColorMode;
  graphMode: BigValueGraphMode;
  justifyMode: BigValueJustifyMode;
  textMode: BigValueTextMode;
  reduceOptions: ReduceDataOptions;
}

function Stat(drawing: Drawing) {
  const theme = useTheme2();
  const options = drawing.options as StatOptions;
  const values = useDisplays(drawing, options.reduceOptions);
  return (
    <VizRepeater<FieldDisplay>
      {...repeated(drawing, values)}
      autoGrid
      orientation={VizOrientation.Auto}
      renderValue={({ value, width, height, count }) => (
        <BigValue
          value={value.display}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          {...{ count, height, theme, width }}
        />
      )}
    />
  );
}

interface BarGaugeOptions {
  displayMode: BarGaugeDisplayMode;
  minVizHeight: number;
  maxVizHeight: number;
  minVizWidth: number;
  namePlacement: BarGaugeNamePlacement;
  orientation: VizOrientation;
  reduceOptions: ReduceDataOptions;
  showUnfilled: boolean;
  valueMode: BarGaugeValueMode;
}

function Gauges(drawing: Drawing) {
  const theme = useTheme2();
  const options = drawing.options as BarGaugeOptions;
  const values = useDisplays(drawing, options.reduceOptions);
  return (
    <VizRepeater<FieldDisplay, ReturnType<typeof getDisplayValueAlignmentFactors>>
      {...repeated(drawing, values)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      minVizHeight={options.minVizHeight}
      maxVizHeight={options.maxVizHeight}
      minVizWidth={options.minVizWidth}
      orientation={options.orientation}
      renderValue={({ value, alignmentFactors, orientation, width, height }) => (
        <BarGauge
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          displayMode={options.displayMode}
          namePlacement={options.namePlacement}
          showUnfilled={options.showUnfilled}
          valueDisplayMode={options.valueMode}
          isOverflow={false}
          {...{ alignmentFactors, height, orientation, theme, width }}
        />
      )}
    />
  );
}

function Lines({ data, options, range, width, height }: Drawing) {
  const { legend } = options as { legend: VizLegendOptions };
  return (
    <TimeSeries frames={data} timeRange={range} timeZone="utc" {...{ height, legend, width }} />
  );
}

interface TableOptions {
  cellHeight: TableCellHeight;
  showHeader: boolean;
  sortBy: TableSortByFieldState[];
}

function Rows({ data, options, fieldConfig, width, height }: Drawing) {
  const { cellHeight, showHeader, sortBy } = options as TableOptions;
  return (
    <Table
      data={data[0]}
      initialSortBy={sortBy}
      noHeader={!showHeader}
      {...{ cellHeight, fieldConfig, height, width }}
    />
  );
}

export const KINDS: Record<string, (drawing: Drawing) => ReactElement> = {
  bargauge: Gauges,
  heatmap: (drawing) => <Heatmap {...drawing} options={drawing.options as HeatmapOptions} />,
  'state-timeline': (drawing) => (
    <StateTimeline {...drawing} options={drawing.options as TimelineOptions} />
  ),
  stat: Stat,
  table: Rows,
  timeseries: Lines,
};

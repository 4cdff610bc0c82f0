// A heatmap of buckets on Grafana's plot.

import { type DataFrame, type TimeRange, formattedValueToString, getValueFormat } from '@grafana/data';
import { ScaleDirection } from '@grafana/schema';
import { useTheme2 } from '@grafana/ui';
import * as schemes from 'd3-scale-chromatic';
import type uPlot from 'uplot';

import { LinesPlot } from './plot';

export interface HeatmapOptions {
  color: { exponent: number; scheme: string; steps: number; reverse: boolean };
  filterValues?: { le?: number };
  yAxis: { unit?: string };
}

interface Props {
  data: DataFrame[];
  options: HeatmapOptions;
  range: TimeRange;
  width: number;
  height: number;
}

type Scheme = (part: number) => string;

export function Heatmap({ data, options, range, width, height }: Props) {
  const theme = useTheme2();
  const [times, ...fields] = data[0].fields;
  const step = times.config.interval ?? 0;
  const most = Math.max(...fields.flatMap((field) => field.values));
  const scheme = (schemes as unknown as Record<string, Scheme>)[`interpolate${options.color.scheme}`];
  const format = getValueFormat(options.yAxis.unit);
  // Ordered alike, the bound of a bucket is written at its upper edge.
  const bounds = fields.map((field) =>
    field.name === '+Inf' ? field.name : formattedValueToString(format(Number(field.name)))
  );
  const every = Math.max(1, Math.ceil(bounds.length / (height / 25)));

  const draw = (plot: uPlot) => {
    fields.forEach((field, index) => {
      const bottom = plot.valToPos(index, 'y', true);
      const top = plot.valToPos(index + 1, 'y', true);
      field.values.forEach((count: number, at: number) => {
        if (count <= (options.filterValues?.le ?? -Infinity)) {
          return;
        }
        const part = (count / most) ** options.color.exponent;
        const level = Math.round(part * (options.color.steps - 1)) / (options.color.steps - 1);
        const left = plot.valToPos(times.values[at] - step, 'x', true);
        const right = plot.valToPos(times.values[at], 'x', true);
        plot.ctx.fillStyle = scheme(options.color.reverse ? 1 - level : level);
        plot.ctx.fillRect(left, top, right - left, bottom - top);
      });
    });
  };
  return (
    <LinesPlot
      lines={fields.length}
      direction={ScaleDirection.Up}
      axis={{
        splits: bounds.map((_, index) => index + 1),
        values: bounds.map((bound, index) => (index % every === 0 ? bound : '')),
      }}
      {...{ draw, height, range, theme, width }}
    />
  );
}

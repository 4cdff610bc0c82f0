// A state timeline on Grafana's plot: one line of boxes per series, each in the colour and
// with the word that the panel's mappings give.

import {
  type DataFrame,
  type Field,
  type TimeRange,
  FieldType,
  formattedValueToString,
  getFieldDisplayName,
} from '@grafana/data';
import { LegendDisplayMode, ScaleDirection, type VizLegendOptions } from '@grafana/schema';
import { VizLayout, VizLegend, measureText, useTheme2 } from '@grafana/ui';
import type uPlot from 'uplot';

import { LinesPlot } from './plot';

export interface TimelineOptions {
  legend: VizLegendOptions;
  mergeValues: boolean;
  rowHeight: number;
}

interface Props {
  data: DataFrame[];
  options: TimelineOptions;
  range: TimeRange;
  width: number;
  height: number;
}

interface Box {
  from: number;
  to: number;
  text: string;
  color: string;
}

const FONT_SIZE = 12;
const PADDING = 4;

function textWidth(text: string): number {
  return measureText(text, FONT_SIZE).width;
}

function boxes(field: Field, times: Field, merge: boolean): Box[] {
  const step = times.config.interval ?? 0;
  const found: Box[] = [];
  times.values.forEach((time: number, index) => {
    const shown = field.display!(field.values[index]);
    const box = { from: time, to: time + step, text: formattedValueToString(shown), color: shown.color! };
    const last = found.at(-1);
    if (merge && last && last.text === box.text && time - last.to < step / 2) {
      last.to = box.to;
    } else {
      found.push(box);
    }
  });
  return found;
}

export function StateTimeline({ data, options, range, width, height }: Props) {
  const theme = useTheme2();
  const lines = data.flatMap((frame) => {
    const times = frame.fields.find((field) => field.type === FieldType.time);
    return frame.fields
      .filter((field) => field.type === FieldType.number)
      .map((field) => ({
        name: getFieldDisplayName(field, frame, data),
        boxes: boxes(field, times!, options.mergeValues),
        opacity: (field.config.custom?.fillOpacity ?? 70) / 100,
      }));
  });
  const words = new Map(lines.flatMap((line) => line.boxes.map((box) => [box.text, box.color])));
  const legend = options.legend.showLegend && (
    <VizLayout.Legend placement={options.legend.placement}>
      <VizLegend
        placement={options.legend.placement}
        displayMode={LegendDisplayMode.List}
        items={[...words].map(([label, color]) => ({ label, color, yAxis: 1 }))}
      />
    </VizLayout.Legend>
  );

  const draw = (plot: uPlot) => {
    const { ctx } = plot;
    const pixels = devicePixelRatio;
    ctx.font = `${FONT_SIZE * pixels}px ${theme.typography.fontFamily}`;
    ctx.textAlign = 'left';
    ctx.textBaseline = 'middle';
    lines.forEach((line, index) => {
      const middle = plot.valToPos(index + 0.5, 'y', true);
      const full = Math.abs(plot.valToPos(1, 'y', true) - plot.valToPos(0, 'y', true));
      const tall = full * options.rowHeight;
      for (const box of line.boxes) {
        const left = Math.max(plot.valToPos(box.from, 'x', true), plot.bbox.left);
        const right = Math.min(plot.valToPos(box.to, 'x', true), plot.bbox.left + plot.bbox.width);
        ctx.globalAlpha = line.opacity;
        ctx.fillStyle = box.color;
        ctx.fillRect(left, middle - tall / 2, right - left, tall);
        ctx.globalAlpha = 1;
        const needed = textWidth(box.text) + 2 * PADDING;
        if (needed * pixels < right - left && FONT_SIZE * pixels < tall) {
          ctx.fillStyle = theme.colors.getContrastText(box.color, 3);
          ctx.fillText(box.text, left + PADDING * pixels, middle);
        }
      }
    });
  };
  return (
    <VizLayout width={width} height={height} legend={legend || null}>
      {(plotWidth, plotHeight) => (
        <LinesPlot
          width={plotWidth}
          height={plotHeight}
          lines={lines.length}
          direction={ScaleDirection.Down}
          axis={{
            size: Math.max(...lines.map(({ name }) => textWidth(name))) + 4 * PADDING,
            splits: lines.map((_, index) => index + 0.5),
            values: lines.map(({ name }) => name),
          }}
          {...{ draw, range, theme }}
        />
      )}
    </VizLayout>
  );
}

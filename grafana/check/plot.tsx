// A plot of Grafana's with time along it and lines of equal height, for what draws itself:
// no series of its own, Grafana's scales and axes.

import type { GrafanaTheme2, TimeRange } from '@grafana/data';
import { AxisPlacement, ScaleDirection, ScaleOrientation } from '@grafana/schema';
import { UPlotChart, UPlotConfigBuilder } from '@grafana/ui';
import type uPlot from 'uplot';

interface Props {
  range: TimeRange;
  width: number;
  height: number;
  theme: GrafanaTheme2;
  /** How many, and from where they are counted. */
  lines: number;
  direction: ScaleDirection.Up | ScaleDirection.Down;
  axis: {
    /** In pixels; as wide as its labels if it is not given. */
    size?: number;
    splits: number[];
    values: string[];
  };
  draw: (plot: uPlot) => void;
}

export function LinesPlot({ range, width, height, theme, lines, direction, axis, draw }: Props) {
  const ends = [range.from.valueOf(), range.to.valueOf()];
  const builder = new UPlotConfigBuilder('utc');
  builder.addScale({
    scaleKey: 'x',
    orientation: ScaleOrientation.Horizontal,
    direction: ScaleDirection.Right,
    isTime: true,
    range: () => [ends[0], ends[1]],
  });
  builder.addScale({
    scaleKey: 'y',
    orientation: ScaleOrientation.Vertical,
    direction,
    range: () => [0, lines],
  });
  builder.addAxis({
    scaleKey: 'x',
    isTime: true,
    placement: AxisPlacement.Bottom,
    grid: { show: true },
    timeZone: 'utc',
    theme,
  });
  builder.addAxis({
    scaleKey: 'y',
    placement: AxisPlacement.Left,
    grid: { show: false },
    ticks: { show: false },
    theme,
    ...axis,
  });
  builder.addHook('draw', (plot) => {
    plot.ctx.save();
    draw(plot);
    plot.ctx.restore();
  });
  builder.addSeries({ scaleKey: 'y', pathBuilder: () => null, pointsBuilder: () => false, theme });
  return (
    <UPlotChart config={builder} data={[ends, ends.map(() => 0)]} width={width} height={height} />
  );
}

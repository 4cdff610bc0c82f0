// Draws one dashboard. What flows in: `draw(order)`, called by whoever steers the browser.
// What flows out: the page, and `report`, once everything is drawn.

import '@fontsource-variable/inter';

import { type DataFrame, type FieldConfigSource, ThemeContext, createTheme, dateTime } from '@grafana/data';
import type { DataTransformerConfig } from '@grafana/schema';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { Component, type ReactNode, useEffect } from 'react';
import { createRoot } from 'react-dom/client';

import { restored, withSettings } from './fields';
import { type Span, type Target, ask, frames } from './frames';
import { KINDS, transformed } from './panels';
import type { Board, Drawn, Row } from './schema';

interface Order {
  board: Board;
  span: Span;
  theme: 'dark' | 'light';
  width: number;
}

interface PanelReport {
  title: string;
  /** Queries with how many series came. */
  queries: { expr: string; series: number }[];
  /** What is wrong with the panel. */
  errors: string[];
}

declare global {
  interface Window {
    draw(order: Order): void;
    report?: { height: number; panels: PanelReport[] };
  }
}

// A grid as Grafana lays it out: 24 columns, lines of 30 pixels, 8 between.
const COLUMNS = 24;
const LINE = 30;
const GAP = 8;
const HEADER = 64;
const SETTLE_MS = 1000;

// Grafana names the font by its short name and brings it by itself.
const FONT = '"Inter Variable", sans-serif';

function themed(mode: Order['theme']) {
  return createTheme({ colors: { mode }, typography: { fontFamily: FONT } });
}

interface Loaded {
  panel: Drawn;
  data: DataFrame[];
  report: PanelReport;
}

async function load(panel: Drawn, order: Order): Promise<Loaded> {
  const report: PanelReport = { title: panel.title, queries: [], errors: [] };
  const data: DataFrame[] = [];
  try {
    if (!(panel.type in KINDS)) {
      throw new Error(`a panel of type ${panel.type} cannot be drawn`);
    }
    for (const target of (panel.targets ?? []) as unknown as Target[]) {
      const series = await ask(target, order.span);
      report.queries.push({ expr: target.expr, series: series.length });
      data.push(...(series.length ? frames(target, series, order.span) : []));
    }
    const steps = (panel.transformations ?? []) as DataTransformerConfig[];
    return { panel, data: data.length ? await transformed(steps, data) : [], report };
  } catch (error) {
    report.errors.push(String(error));
    return { panel, data: [], report };
  }
}

/** What throws while it draws is an error of its panel. */
class Guarded extends Component<{ report: PanelReport; children: ReactNode }, { failed: boolean }> {
  state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  componentDidCatch(error: unknown) {
    this.props.report.errors.push(String(error));
  }

  render() {
    return this.state.failed ? 'failed' : this.props.children;
  }
}

function place({ x, y, w, h }: { x: number; y: number; w: number; h: number }, width: number) {
  const column = (width - 2 * GAP - GAP * (COLUMNS - 1)) / COLUMNS;
  return {
    left: GAP + x * (column + GAP),
    top: HEADER + y * (LINE + GAP),
    width: w * column + (w - 1) * GAP,
    height: h * LINE + (h - 1) * GAP,
  };
}

function Panel({ loaded, order }: { loaded: Loaded; order: Order }) {
  const { panel, data, report } = loaded;
  const theme = themed(order.theme);
  const box = place(panel.gridPos as Required<NonNullable<Drawn['gridPos']>>, order.width);
  const { from, to } = order.span;
  const ends = { from: dateTime(from), to: dateTime(to) };
  const source = restored(panel.fieldConfig as unknown as FieldConfigSource);
  const Kind = KINDS[panel.type];
  const empty = data.every((frame) => frame.length === 0);
  // Numbers and gauges say themselves what they show without data.
  const speaks = ['stat', 'bargauge'].includes(panel.type);
  return (
    <div className="panel" data-title={panel.title} style={{ position: 'absolute', ...box }}>
      <PanelChrome title={panel.title} description={panel.description} width={box.width} height={box.height}>
        {(width, height) =>
          empty && !speaks ? (
            <div className="nothing">{source.defaults.noValue ?? 'No data'}</div>
          ) : (
            <Guarded report={report}>
              <Kind
                data={withSettings(data, source, theme)}
                fieldConfig={source}
                options={panel.options}
                range={{ ...ends, raw: ends }}
                {...{ height, width }}
              />
            </Guarded>
          )
        }
      </PanelChrome>
    </div>
  );
}

function Page({ order, rows, panels }: { order: Order; rows: Row[]; panels: Loaded[] }) {
  const theme = themed(order.theme);
  const { board } = order;
  useEffect(() => {
    setTimeout(() => tell(panels), SETTLE_MS);
  }, [panels]);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <header>
        <b>{board.title}</b>
        {board.templating.list.map((variable) => (
          <span key={variable.name} className="variable">
            <label>{variable.label}</label>
            {variable.multi ? 'All' : variable.name === 'datasource' ? 'Prometheus' : ''}
          </span>
        ))}
        {board.links?.map((link) => (
          <a key={link.title}>{link.title}</a>
        ))}
      </header>
      {rows.map((row) => (
        <h2
          key={row.id}
          className="row"
          style={{
            position: 'absolute',
            ...place(row.gridPos as Required<NonNullable<Row['gridPos']>>, order.width),
          }}
        >
          {row.title}
          {row.collapsed && <small> (collapsed until it is opened)</small>}
        </h2>
      ))}
      {panels.map((loaded) => (
        <Panel key={loaded.panel.id} loaded={loaded} order={order} />
      ))}
    </ThemeContext.Provider>
  );
}

/** Looks at what was drawn as a reader would, and says that it is done. */
function tell(panels: Loaded[]) {
  let height = 0;
  document.querySelectorAll<HTMLElement>('.panel').forEach((box, index) => {
    const { errors, title: name } = panels[index].report;
    height = Math.max(height, box.offsetTop + box.offsetHeight);
    const title = box.querySelector('h2');
    if (title && title.scrollWidth > title.clientWidth) {
      errors.push('the title does not fit');
    }
    if (!box.querySelector('canvas') && box.innerText.trim() === name) {
      errors.push('nothing is drawn');
    }
  });
  window.report = { height: height + GAP, panels: panels.map(({ report }) => report) };
}

window.draw = async (order) => {
  const all = order.board.panels;
  const rows = all.filter((panel): panel is Row => panel.type === 'row');
  const drawn = [
    ...all.filter((panel): panel is Drawn => panel.type !== 'row'),
    ...rows.flatMap((row) => row.panels),
  ];
  const panels: Loaded[] = [];
  for (const panel of drawn) {
    panels.push(await load(panel, order));
  }
  createRoot(document.getElementById('root')!).render(<Page {...{ order, rows, panels }} />);
};

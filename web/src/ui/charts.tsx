// Two charts, drawn as SVG: enough to see concentration and rhythm, each with its figures as text beside it.

export interface Bar {
  key: string;
  label: React.ReactNode;
  /** Hundredths of a percent. */
  points: number;
  text: string;
}

/** Shares of a whole, one line each. */
export function Bars({ label, bars }: { label: string; bars: Bar[] }) {
  const most = Math.max(1, ...bars.map((bar) => bar.points));
  return (
    <ol className="bars" aria-label={label}>
      {bars.map((bar) => (
        <li key={bar.key}>
          <span>{bar.label}</span>
          <svg aria-hidden="true" viewBox="0 0 100 8" preserveAspectRatio="none">
            <rect className="back" width="100" height="8" rx="1" />
            <rect className="bar" width={Math.max(0.4, (bar.points / most) * 100)} height="8" rx="1" />
          </svg>
          <span className="num small">{bar.text}</span>
        </li>
      ))}
    </ol>
  );
}

export interface ColumnBar {
  key: string;
  value: number;
  title: string;
}

/** Counts over time, oldest first. */
export function Columns({ label, columns }: { label: string; columns: ColumnBar[] }) {
  const most = Math.max(1, ...columns.map((column) => column.value));
  const width = 100 / Math.max(1, columns.length);
  return (
    <svg className="columns" role="img" aria-label={label} viewBox="0 0 100 40" preserveAspectRatio="none">
      <line x1="0" y1="39.8" x2="100" y2="39.8" strokeWidth="0.3" />
      {columns.map((column, index) => {
        const height = (column.value / most) * 38;
        return (
          <rect key={column.key} x={index * width + width * 0.1} y={39.6 - height} width={width * 0.8} height={height}>
            <title>{column.title}</title>
          </rect>
        );
      })}
    </svg>
  );
}

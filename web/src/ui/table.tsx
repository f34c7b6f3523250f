// One table for every list: a real <table>, rows outside the view left out, so that ten thousand rows scroll
// as ten do.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef, type ReactNode } from "react";
import { useCount, useT } from "../i18n";

export interface Column<T> {
  key: string;
  title: string;
  numeric?: boolean;
  className?: string;
  cell: (row: T) => ReactNode;
}

interface Props<T> {
  caption: string;
  columns: Column<T>[];
  rows: T[];
  rowKey: (row: T) => string;
  rowClass?: (row: T) => string | undefined;
  more?: { available: boolean; loading: boolean; load: () => void };
}

/** Height of a row with one line, in pixels; taller ones are measured. */
const ROW_PX = 40;
/** Rows kept above and below the view, so that a fast scroll shows no gap. */
const OVERSCAN = 12;

export function Table<T>({ caption, columns, rows, rowKey, rowClass, more }: Props<T>) {
  const t = useT();
  const count = useCount();
  const box = useRef<HTMLDivElement>(null);
  const view = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
    getItemKey: (index) => rowKey(rows[index]!),
  });
  const items = view.getVirtualItems();
  const before = items[0]?.start ?? 0;
  const after = view.getTotalSize() - (items.at(-1)?.end ?? 0);
  return (
    <div className="stack">
      {/* Reachable by keyboard, because it scrolls. */}
      <div className="table" ref={box} tabIndex={0} role="region" aria-label={caption}>
        <table aria-rowcount={rows.length + 1}>
          <caption className="sr">{caption}</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column.key} scope="col" className={column.numeric ? "num" : undefined}>
                  {column.title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            <Gap columns={columns.length} px={before} />
            {items.map((item) => {
              const row = rows[item.index]!;
              return (
                <tr key={item.key} data-index={item.index} ref={view.measureElement} aria-rowindex={item.index + 2} className={rowClass?.(row)}>
                  {columns.map((column) => (
                    <td key={column.key} className={[column.numeric ? "num" : "", column.className ?? ""].join(" ").trim() || undefined}>
                      {column.cell(row)}
                    </td>
                  ))}
                </tr>
              );
            })}
            <Gap columns={columns.length} px={after} />
          </tbody>
        </table>
      </div>
      {more ? (
        <div className="row">
          <span className="quiet small" role="status">
            {t(more.available ? "state.someShown" : "state.allShown", { n: count(rows.length) })}
          </span>
          {more.available ? (
            <button type="button" onClick={more.load} disabled={more.loading}>
              {t("state.more")}
            </button>
          ) : null}
        </div>
      ) : null}
    </div>
  );
}

function Gap({ columns, px }: { columns: number; px: number }) {
  if (px <= 0) return null;
  return (
    <tr className="pad" aria-hidden="true">
      <td colSpan={columns} ref={(cell) => void (cell && (cell.style.height = `${px}px`))} />
    </tr>
  );
}

//! Tables: real ones, with caption and scopes. On a phone, a row shows its first cell and the cells
//! that are kept, and unfolds the others with their names.

use super::Sign;
use maud::{Markup, Render, html};

/// How many rows a list has if its address names no limit. With fifty, some pages would have more
/// bytes than a page may have.
pub(in crate::http::ui) const ROWS: usize = 40;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(in crate::http::ui) struct Column {
    name: &'static str,
    is_number: bool,
    is_cut: bool,
    sorted: Option<&'static str>,
    on_phone: OnPhone,
    is_name_hidden: bool,
}

/// How a phone shows a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnPhone {
    /// Beside the first cell.
    Beside,
    /// Below the first cell.
    Below,
    /// The same, unless its mark is a quiet one.
    BelowIfMarked,
    /// Only once the row is unfolded.
    Unfolded,
}

impl Column {
    /// A column of texts. A phone shows it once the row is unfolded.
    pub(in crate::http::ui) const fn new(name: &'static str) -> Self {
        Self {
            name,
            is_number: false,
            is_cut: false,
            sorted: None,
            on_phone: OnPhone::Unfolded,
            is_name_hidden: false,
        }
    }

    /// A column of numbers, which stand right.
    pub(in crate::http::ui) const fn number(name: &'static str) -> Self {
        Self { is_number: true, ..Self::new(name) }
    }

    /// A phone shows it beside the first cell.
    pub(in crate::http::ui) const fn beside(self) -> Self {
        Self { on_phone: OnPhone::Beside, ..self }
    }

    /// A phone shows it below the first cell.
    pub(in crate::http::ui) const fn below(self) -> Self {
        Self { on_phone: OnPhone::Below, ..self }
    }

    /// A phone shows it below the first cell in rows in which it has a framed mark.
    pub(in crate::http::ui) const fn below_if_marked(self) -> Self {
        Self { on_phone: OnPhone::BelowIfMarked, ..self }
    }

    /// Its texts take the room that the others leave, and are cut.
    pub(in crate::http::ui) const fn cut(self) -> Self {
        Self { is_cut: true, ..self }
    }

    /// The rows are in the order of this column: `ascending` or `descending`.
    pub(in crate::http::ui) const fn sorted(self, order: &'static str) -> Self {
        Self { sorted: Some(order), ..self }
    }

    /// Its name is there for readers of the screen only.
    pub(in crate::http::ui) const fn unnamed(self) -> Self {
        Self { is_name_hidden: true, ..self }
    }

    fn class(self) -> String {
        let classes = [
            (self.is_number, "n"),
            (self.is_cut, "cut"),
            (self.on_phone == OnPhone::Beside, "k"),
            (self.on_phone == OnPhone::Below, "k2"),
            (self.on_phone == OnPhone::BelowIfMarked, "k2 m"),
        ];
        let on = classes.into_iter().filter(|it| it.0).map(|it| it.1);
        on.collect::<Vec<_>>().join(" ")
    }

    fn head(self) -> Markup {
        let class = self.class();
        html! {
            th scope="col" class=[Some(&class).filter(|it| !it.is_empty())] aria-sort=[self.sorted] {
                @if self.is_name_hidden { span.vh { (self.name) } } @else { (self.name) }
            }
        }
    }

    fn cell(self, content: &Markup) -> Markup {
        let class = self.class();
        let label = (self.on_phone == OnPhone::Unfolded).then_some(self.name);
        html! {
            td class=[Some(&class).filter(|it| !it.is_empty())] data-l=[label] { (content) }
        }
    }
}

/// A row: as many cells as the table has columns.
#[derive(Clone, Debug, Default)]
pub(in crate::http::ui) struct TableRow {
    cells: Vec<Markup>,
    /// What stands before the first cell, such as a box to select the row.
    before: Option<Markup>,
    /// The id by which the script finds the row again.
    key: Option<String>,
}

impl TableRow {
    /// A row of these cells.
    pub(in crate::http::ui) fn new(cells: impl IntoIterator<Item = Markup>) -> Self {
        Self { cells: cells.into_iter().collect(), before: None, key: None }
    }

    /// The same with a box that selects it: the form sends `name=value`.
    #[must_use]
    pub(in crate::http::ui) fn selectable(self, name: &str, value: &str, form: &str) -> Self {
        let label = format!("select {value}");
        let select = html! {
            input type="checkbox" name=(name) value=(value) form=(form) aria-label=(label);
        };
        Self { before: Some(select), ..self }
    }

    /// The same with an id, which stays when the page is fetched again.
    #[must_use]
    pub(in crate::http::ui) fn keyed(self, key: impl ToString) -> Self {
        Self { key: Some(key.to_string()), ..self }
    }
}

/// A table.
#[derive(Clone, Debug)]
pub(in crate::http::ui) struct PageTable {
    caption: Markup,
    is_caption_hidden: bool,
    columns: Vec<Column>,
    rows: Vec<TableRow>,
    foot: Option<TableRow>,
    is_wide: bool,
}

impl PageTable {
    /// A table without rows.
    pub(in crate::http::ui) fn new(
        caption: impl Render,
        columns: impl IntoIterator<Item = Column>,
    ) -> Self {
        Self {
            caption: html! { (caption) },
            is_caption_hidden: false,
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
            foot: None,
            is_wide: false,
        }
    }

    /// The caption is for readers of the screen only, because a heading says the same.
    #[must_use]
    pub(in crate::http::ui) fn caption_hidden(self) -> Self {
        Self { is_caption_hidden: true, ..self }
    }

    /// The table scrolls sideways in its own region if it does not fit.
    #[must_use]
    pub(in crate::http::ui) fn wide(self) -> Self {
        Self { is_wide: true, ..self }
    }

    /// The table with these rows.
    #[must_use]
    pub(in crate::http::ui) fn rows(self, rows: impl IntoIterator<Item = TableRow>) -> Self {
        Self { rows: rows.into_iter().collect(), ..self }
    }

    /// The table with a row of sums below.
    #[must_use]
    pub(in crate::http::ui) fn foot(self, cells: impl IntoIterator<Item = Markup>) -> Self {
        Self { foot: Some(TableRow::new(cells)), ..self }
    }

    fn row(&self, row: &TableRow) -> Markup {
        let unfolds = self.columns.iter().skip(1).any(|it| it.on_phone == OnPhone::Unfolded);
        let mut cells = self.columns.iter().zip(&row.cells);
        let first = cells.next();
        html! {
            tr data-row=[row.key.as_ref()] {
                @if let Some(before) = &row.before { td.sel { (before) } }
                @if let Some((column, content)) = first {
                    th scope="row" class=[column.is_cut.then_some("cut")] {
                        (content)
                        @if unfolds {
                            details.un { summary { span.vh { "all of this row" } (Sign::Chevron) } }
                        }
                    }
                }
                @for (column, content) in cells { (column.cell(content)) }
            }
        }
    }
}

impl Render for PageTable {
    fn render(&self) -> Markup {
        let has_boxes = self.rows.iter().any(|it| it.before.is_some());
        let table = html! {
            table.t.sels[has_boxes] {
                caption class=[self.is_caption_hidden.then_some("vh")] { (self.caption) }
                thead {
                    tr {
                        @if has_boxes { td {} }
                        @for column in &self.columns { (column.head()) }
                    }
                }
                tbody { @for row in &self.rows { (self.row(row)) } }
                @if let Some(foot) = &self.foot {
                    tfoot { tr {
                        @if has_boxes { td {} }
                        @for (at, (column, content)) in self.columns.iter().zip(&foot.cells).enumerate() {
                            @if at == 0 { th scope="row" { (content) } } @else { (column.cell(content)) }
                        }
                    } }
                }
            }
        };
        if !self.is_wide {
            return table;
        }
        html! { div.scroll tabindex="0" role="region" aria-label="Table" { (table) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_its_cells_are() {
        let columns =
            [Column::new("kind"), Column::number("pending").beside(), Column::new("oldest due")];
        let cells = ["SEND", "4", "0.3 s"].map(|it| html! { (it) });
        let table = PageTable::new("Kinds", columns).rows([TableRow::new(cells).keyed(7)]);
        let html = table.render().into_string();
        for part in [
            "<caption>Kinds</caption>",
            "<th scope=\"col\">kind</th>",
            "<th scope=\"col\" class=\"n k\">pending</th>",
            "<tr data-row=\"7\">",
            "<th scope=\"row\">SEND<details",
            "<td class=\"n k\">4</td>",
            "<td data-l=\"oldest due\">0.3 s</td>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }
}
